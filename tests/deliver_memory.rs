//! A message of 100 MiB passes, and `deliver` needs no more memory for it than is promised.

mod seal_support;

use std::fs::File;
use std::process::Stdio;

use seal_support::mail::{self, to_crlf};
use seal_support::program::{Site, USER, run, success, text};

const MIB: usize = 1 << 20;
/// What a delivery may take beside three times the message.
const FIXED_BYTES: usize = 12 * MIB;

/// The next hop. `deliver` waits for it, so its parent's highest memory use is still there to be read
/// and is the final one. `wait4` would tell too much: its figure begins with the memory of whoever
/// started the program, and a test that holds the message is large.
///
/// The letter that it reads lies in memory that belongs to no process: it is added to what `deliver` holds
/// at the same time.
const KEEP_AND_MEASURE: &str = "cat > stored && \
    sed -n 's/^Vm\\(HWM\\|RSS\\):[^0-9]*\\([0-9]*\\) kB$/\\2/p' /proc/$PPID/status > peak && \
    stat -L -c %s /dev/stdin >> peak";

/// Delivers `message` from a pipe or a file, sees that it comes back, and gives the peak of `deliver`
/// in octets.
fn peak(site: &Site, message: &[u8], from_file: bool) -> usize {
    let mut command =
        site.command(&["deliver", "--recipient", USER, "--", "sh", "-c", KEEP_AND_MEASURE]);
    command.current_dir(site.path());
    let output = if from_file {
        std::fs::write(site.join("message"), message).unwrap();
        let file = File::open(site.join("message")).unwrap();
        command.stdin(file).stdout(Stdio::piped()).output().unwrap()
    } else {
        run(&mut command, message)
    };
    success(&output);
    let figures = std::fs::read_to_string(site.join("peak")).unwrap();
    let numbers: Vec<usize> = figures.lines().map(|line| line.parse().unwrap()).collect();
    let [highest, now, letter] = numbers[..] else { panic!("other figures: {figures:?}") };
    assert!(letter > 0 && letter == std::fs::read(site.join("stored")).unwrap().len());

    let original = to_crlf(message);
    let stored = site.join("stored");
    let output = site.unseal_with(&[stored.to_str().unwrap()], b"");
    success(&output);
    assert_eq!(text(&output.stderr), "");
    assert!(output.stdout == original, "other bytes come back");
    (highest * 1024).max(now * 1024 + letter)
}

fn within_bounds(what: &str, len: usize, most: usize) {
    println!("deliver of {what}: {len} octets took {most} at most");
    let limit = 3 * len + FIXED_BYTES;
    assert!(most <= limit, "{what}: {most} octets, more than {limit}");
}

#[test]
fn a_hundred_mebibytes() {
    let site = Site::new();
    let one_id = [b"Message-ID: ", &vec![b'x'; 100 * MIB][..]].concat();
    for (what, message, from_file) in [
        ("100 MiB from a pipe", mail::mixed(100 * MIB), false),
        ("100 MiB from a file", mail::mixed(100 * MIB), true),
        ("100 MiB that do not compress", mail::noise(100 * MIB, 7), false),
        ("an id of 100 MiB", one_id, false),
    ] {
        let most = peak(&site, &message, from_file);
        assert!(most > message.len(), "{most} octets cannot be true");
        within_bounds(what, to_crlf(&message).len(), most);
    }
}

#[test]
fn whatever_the_content() {
    let site = Site::new();
    let len = 16 * MIB;
    let field = |name: &str, byte: u8| [name.as_bytes(), &vec![byte; len]].concat();
    let lines = |line: &str| line.repeat(len / line.len()).into_bytes();
    for (what, message) in [
        ("nothing", Vec::new()),
        ("noise", mail::noise(len, 7)),
        ("zeros", vec![0; len]),
        ("line feeds", vec![b'\n'; len / 2]),
        ("one long subject", field("Subject: ", b'x')),
        ("one long id", field("Message-ID: ", b'x')),
        ("one long type", field("Content-Type: text/plain; name=", b'x')),
        ("many fields", lines("X-Field: value\n")),
        ("many headers", lines("Content-Type: message/rfc822\n\n")),
        (
            "many boundaries",
            [b"Content-Type: multipart/mixed; boundary=b\n\n", &lines("--b\n")[..]].concat(),
        ),
    ] {
        within_bounds(what, to_crlf(&message).len(), peak(&site, &message, false));
    }
}
