//! Handing on over LMTP, to a server that answers as it is told.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::lmtp::{Answer, Gate, Server, say};
use support::{MESSAGE, Ran, Site, finish, opened};

const PASSWORD: &[u8] = b"pw";
/// Words that no sender may read in an answer.
const LOCAL: [&str; 8] =
    ["/", "alice", "elsewhere", "127.0.0.1", "unix:", "inet:", "walnut", "quince"];

fn site() -> Site {
    let site = Site::with("", "[delivery]\nunenrolled = \"pass\"");
    site.enroll("alice@example.org", PASSWORD).good();
    site
}

fn deliver(site: &Site, server: &Server, recipient: &str) -> Ran {
    let sender = "carol@elsewhere.test";
    site.deliver(&["--sender", sender, "--recipient", recipient, "--lmtp", &server.address])
}

/// Undoes what the transport does to dots.
fn unstuffed(data: &[u8]) -> Vec<u8> {
    let data = data.strip_suffix(b".\r\n").unwrap();
    let lines = data.split_inclusive(|byte| *byte == b'\n');
    lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect()
}

/// Whoever gets keys while the store takes its time gets nothing in the clear any more.
#[test]
fn a_recipient_who_is_enrolled_before_the_first_octet_goes() {
    let site = site();
    let gate = Gate::default();
    let server = Server::start(vec![("DATA", Answer::Behind(gate.clone()))]);
    let ran = thread::scope(|scope| {
        let delivering = scope.spawn(|| deliver(&site, &server, "dora@example.org"));
        gate.wait_for(1);
        site.enroll("dora@example.org", PASSWORD).good();
        // What was decided just now holds for half a second.
        thread::sleep(Duration::from_millis(600));
        gate.open();
        delivering.join().unwrap()
    });
    assert_eq!(ran.status, Some(75), "{}", ran.text());
    assert_eq!(server.data().len(), 0, "{:#?}", server.commands());
    deliver(&site, &server, "dora@example.org").good();
    assert!(!String::from_utf8_lossy(&server.data()[0]).contains("walnut"));
}

#[test]
fn a_sealed_message_comes_from_nobody() {
    let site = site();
    let server = Server::start(Vec::new());
    let ran = deliver(&site, &server, "Alice+x@example.org").good();
    let commands = server.commands();
    let wanted = ["LHLO ", "MAIL FROM:<> BODY=8BITMIME", "RCPT TO:<Alice+x@example.org>", "DATA"];
    assert!(commands.iter().zip(wanted).all(|(a, b)| a.starts_with(b)), "{commands:?}");
    let stored = unstuffed(&server.data()[0]);
    let original = site.unseal("alice@example.org", PASSWORD, &stored).good().stdout;
    assert_eq!(original, [b"Return-Path: <carol@elsewhere.test>\r\n", &opened()[..]].concat());
    let id = ran.text();
    let id = id.strip_prefix("2.0.0 sealed as ").unwrap().trim_end();
    assert!(String::from_utf8(stored).unwrap().contains(&format!("Message-ID: {id}\r\n")));
}

#[test]
fn a_passed_message_comes_as_it_was() {
    let site = site();
    let server = Server::start(vec![("LHLO", say("250 test"))]);
    let ran = deliver(&site, &server, "bob@example.org").good();
    assert_eq!(ran.text(), "2.0.0 passed unsealed\n");
    assert_eq!(server.commands()[1], "MAIL FROM:<carol@elsewhere.test>", "no extension offered");
    let data = &server.data()[0];
    assert!(data.ends_with(b"\r\n..\r\n...\r\nGoodbye\r\n.\r\n"), "dots are doubled");
    assert_eq!(
        unstuffed(data),
        [b"Return-Path: <carol@elsewhere.test>\r\n", &opened()[..]].concat()
    );
    // Nothing at all, a dot only, and no line end at the end.
    let arguments = ["deliver", "--recipient", "bob", "--lmtp", &server.address];
    for (message, sent) in
        [("", ".\r\n"), (".", "..\r\n.\r\n"), ("\n.\n", "\r\n..\r\n.\r\n"), ("a", "a\r\n.\r\n")]
    {
        site.feed(arguments, message.as_bytes()).good();
        assert_eq!(server.data().last().unwrap(), sent.as_bytes());
    }
}

#[test]
fn over_a_unix_socket() {
    let site = site();
    let server = Server::start_unix(&site.join("socket"));
    deliver(&site, &server, "alice@example.org").good();
    assert_eq!(server.data().len(), 1);
    let nobody = format!("unix:{}", site.join("nobody").display());
    let ran = site.deliver(&["--recipient", "alice@example.org", "--lmtp", &nobody]);
    assert_eq!((ran.status, ran.text().starts_with("4.4.2 ")), (Some(75), true), "{}", ran.text());
    let ran = site.deliver(&["--recipient", "alice@example.org", "--lmtp", "unix:relative"]);
    assert_eq!(ran.status, Some(75));
}

#[track_caller]
fn answers(site: &Site, step: &'static str, answer: Answer, status: i32, code: &str) {
    let server = Server::start(vec![(step, answer.clone())]);
    for recipient in ["alice@example.org", "bob@example.org"] {
        let ran = deliver(site, &server, recipient);
        let told = ran.text();
        assert_eq!(ran.status, Some(status), "{step} {answer:?} {told}");
        assert!(told.starts_with(code) && told.lines().count() == 1, "{step} {answer:?} {told}");
        let told = told.split(" as <").next().unwrap().to_owned();
        for word in LOCAL {
            assert!(!told.contains(word), "a sender may read {word:?}: {told}");
        }
    }
}

#[test]
fn a_refusal_of_the_recipient_or_the_message_counts() {
    let site = site();
    let long = "550 5.1.1 <alice@example.org> walnut /var/spool: no such user";
    answers(&site, "RCPT", say(long), 67, "5.1.1 ");
    answers(&site, "RCPT", say("550-5.1.1 no\r\n550 5.1.1 such user"), 67, "5.1.1 ");
    answers(&site, "RCPT", say("550 no"), 69, "5.0.0 ");
    answers(&site, "RCPT", say("552 5.2.2 over quota"), 69, "5.2.2 ");
    answers(&site, "RCPT", say("451 later"), 75, "4.3.0 ");
    answers(&site, "RCPT", say("452 4.2.2 over quota"), 75, "4.2.2 ");
    answers(&site, "RCPT", say("421 4.3.2 going down"), 75, "4.3.2 ");
    answers(&site, "end", say("554 5.6.0 quince"), 69, "5.6.0 ");
    answers(&site, "end", say("550 4.2.2 of two minds"), 69, "5.0.0 ");
    answers(&site, "end", say("451 4.3.1 disk full"), 75, "4.3.1 ");
    answers(&site, "end", say("250 2.1.5 taken"), 0, "2.0.0 ");
}

#[test]
fn a_refusal_of_anything_else_is_deferred() {
    let site = site();
    for step in ["greeting", "LHLO", "MAIL", "DATA"] {
        answers(&site, step, say("554 5.7.1 not from you"), 75, "4.");
        answers(&site, step, say("421 4.3.2 going down"), 75, "4.3.2 ");
    }
    // Replies of the wrong kind.
    answers(&site, "DATA", say("250 taken"), 75, "4.");
    answers(&site, "RCPT", say("354 go on"), 75, "4.");
    answers(&site, "end", say("354 go on"), 75, "4.");
}

#[test]
fn whatever_is_not_known_is_deferred() {
    let site = site();
    for step in ["greeting", "LHLO", "MAIL", "RCPT", "DATA", "end"] {
        answers(&site, step, Answer::Drop, 75, "4.4.2 ");
        for garbage in [
            &b"hello\r\n"[..],
            b"\xff\xfe\r\n",
            b"\r\n",
            b"999 what\r\n",
            b"-50 x\r\n",
            b"2500 x\r\n",
            b"250x\r\n",
            b"250-x\r\n550 y\r\n",
        ] {
            answers(&site, step, Answer::Say(garbage.to_vec()), 75, "4.");
        }
        let lines = b"250-and so on\r\n".repeat(10_000);
        answers(&site, step, Answer::Say(lines), 75, "4.");
        answers(&site, step, Answer::Say(vec![b'2'; 100_000]), 75, "4.");
    }
    // What it says before it has the message is no answer to it.
    let rules = vec![("DATA", say("354 go on\r\n250 2.0.0 done")), ("end", Answer::Drop)];
    let ran = deliver(&site, &Server::start(rules), "alice@example.org");
    assert_eq!(ran.status, Some(75), "{}", ran.text());
    let slow = Answer::Slowly(b"250-taken\r\n250 2.1.5 slowly\r\n".to_vec());
    answers(&site, "end", slow, 0, "2.0.0 ");
}

#[test]
fn of_several_recipients_the_worst_counts() {
    let site = site();
    let rules =
        || vec![("<gone@", say("550 5.1.1 no such user")), ("<later@", say("451 4.2.1 later"))];
    for (recipients, status, taken) in [
        (&["alice@example.org", "bob@x.test"][..], 0, 2),
        (&["gone@x.test", "alice@example.org"], 67, 1),
        (&["alice@example.org", "gone@x.test", "later@x.test", "bob@x.test"], 75, 2),
    ] {
        let server = Server::start(rules());
        let mut arguments = vec!["--lmtp", &server.address];
        recipients.iter().for_each(|recipient| arguments.extend(["--recipient", recipient]));
        assert_eq!(site.deliver(&arguments).status, Some(status), "{recipients:?}");
        // Each letter for itself, whoever was refused before.
        assert_eq!(server.data().len(), taken, "{recipients:?}");
        assert!(server.data().iter().all(|data| data.len() > MESSAGE.len() / 2));
    }
}

#[test]
fn a_recipient_can_command_nothing() {
    let site = site();
    let server = Server::start(Vec::new());
    for (recipient, sent) in [
        ("o'neil+x@example.test", "o'neil+x@example.test"),
        ("two words@example.test", "\"two words\"@example.test"),
        ("\"two words\"@example.test", "\"two words\"@example.test"),
        ("a\"b\\c@example.test", "\"a\\\"b\\\\c\"@example.test"),
        ("a> SIZE=1@example.test", "\"a> SIZE=1\"@example.test"),
        ("\"a\"> SIZE=1 <\"@example.test", "\"\\\"a\\\"> SIZE=1 <\\\"\"@example.test"),
        ("\"a\\\"@example.test", "\"\\\"a\\\\\\\"\"@example.test"),
    ] {
        deliver(&site, &server, recipient).good();
        let told = server.commands().into_iter().rfind(|line| line.starts_with("RCPT")).unwrap();
        assert_eq!(told, format!("RCPT TO:<{sent}>"), "{recipient}");
    }
    let before = server.data().len();
    for recipient in
        ["a\r\nRCPT TO:<b>@x.test", "a@x.test>\r\nDATA", "a@x.test> SIZE=1", "a\u{85}@x.test"]
    {
        let ran = deliver(&site, &server, recipient);
        assert_eq!(ran.status, Some(67), "{recipient:?}");
        assert!(ran.text().starts_with("5.1.3 "), "{}", ran.text());
    }
    assert_eq!(server.data().len(), before);
}

#[test]
fn check_says_what_the_store_offers() {
    let site = Site::new();
    let untouched = site.run(["check"]).good().text();
    assert!(untouched.contains("ok     [lmtp]: "), "{untouched}");
    let server = Server::start(vec![("LHLO", say("250-test\r\n250-PIPELINING\r\n250 SIZE 1000"))]);
    let small = "[delivery]\nmax_message_bytes = 600\n";
    let lmtp = |server: &str| format!("[lmtp]\nbackend = \"{server}\"");
    site.configure("", &(small.to_owned() + &lmtp(&server.address)));
    let said = site.run(["check"]).good().text();
    let line = format!("ok     [lmtp]: {} offers PIPELINING, SIZE\n", server.address);
    assert!(said.contains(&line), "{said}");
    // Too small a store for what is sealed, and none at all.
    for (server, error) in [
        (server.address.as_str(), "takes at most 1000 octets"),
        ("unix:/nowhere/lmtp", "unix:/nowhere/lmtp: connect: No such file"),
    ] {
        site.configure("", &lmtp(server));
        let ran = site.run(["check"]);
        assert_eq!(ran.status, Some(78));
        assert!(ran.text().contains("ERROR  [lmtp]: ") && ran.text().contains(error), "{ran:?}");
    }
    // One that says nothing is not waited for as long as a message would wait.
    let gate = Gate::default();
    let mute = Server::start(vec![("greeting", Answer::Behind(gate.clone()))]);
    site.configure("", &lmtp(&mute.address));
    assert!(site.run(["check"]).text().contains("greeting: no answer in time"));
    gate.open();
    let secret = site.file("secret", b"pw");
    let login = format!("\nbackend_user = \"postman\"\nbackend_password_file = \"{secret}\"");
    let set = |mode| fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
    set(0o644);
    site.configure("", &(lmtp("inet:store.test:24") + &login));
    assert!(site.run(["check"]).text().contains("open to others (mode 644)"));
    set(0o640);
    assert!(site.run(["check"]).text().contains("in the clear"));
    site.configure("", &(small.to_owned() + &lmtp(&server.address) + &login));
    assert!(site.run(["check"]).good().text().contains("SIZE, and no login by PLAIN, so that"));
    let everywhere = "\nlisten = [\"inet:0.0.0.0:24\"]\n";
    site.configure("", &(small.to_owned() + &lmtp(&server.address) + everywhere));
    let said = site.run(["check"]).good().text();
    assert!(said.contains("WARN   [lmtp] listen: whoever reaches inet:0.0.0.0:24 "), "{said}");
    let memory = "\nmemory_bytes = 1000000\n";
    site.configure("", &(lmtp(&server.address) + memory));
    let said = site.run(["check"]).text();
    assert!(said.contains("ERROR  [lmtp]: memory_bytes must be at least "), "{said}");
}

/// A site whose settings are those that need not be written: whether it has a use for them is seen by who
/// is, or was, at the sockets.
#[test]
fn a_store_that_is_down_at_the_default_socket() {
    let site = site();
    let check = |make: &str| {
        let own_run = format!("mount -t tmpfs tmpfs /run && {make} && exec \"$0\" \"$@\"");
        let program = site.command(["check"]);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &own_run]);
        command.arg(program.get_program()).args(program.get_args());
        finish(&mut command, b"")
    };
    let unused = check("true").good().text();
    assert!(unused.contains("ok     [lmtp]: no store at unix:/run/cyrus/socket/lmtp"), "{unused}");
    for socket in ["cyrus/socket/lmtp", "nightsafe/lmtp"] {
        let down = check(&format!("install -D /dev/null /run/{socket}"));
        let error = "ERROR  [lmtp]: unix:/run/cyrus/socket/lmtp: connect: ";
        assert!(down.status == Some(78) && down.text().contains(error), "{down:?}");
    }
}
