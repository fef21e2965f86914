//! What local users may ask of a real agent: each in a process of his own uid, as the kernel tells it.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use nightsafe::agent::client::Client;
use nightsafe::agent::protocol::{Password, Reply, Request};
use support::agent::{Agent, PATIENCE, settings, site_with};
use support::{Site, finish};

const ALICE: &str = "alice@example.org";
/// Nobody in particular, who has alice's password.
const ORDINARY: u32 = 64_721;
/// Whom he would like to read along.
const OTHER: u32 = 64_722;
/// A login program: `[agent] allow` lets it hold and read, and so name who reads.
const SESSION: u32 = 64_723;

/// Run by itself as one of them, it asks for what the file says and shows the answer.
#[test]
fn one_request_as_this_user() {
    let Ok(socket) = std::env::var("NIGHTSAFE_TEST_SOCKET") else { return };
    let plan = std::env::var("NIGHTSAFE_TEST_REQUEST").unwrap();
    let words: Vec<&str> = plan.split(' ').collect();
    let reader = words.get(1).map(|uid| uid.parse().unwrap());
    let password = Password(b"pw");
    let stanza = [7; nightsafe::agent::protocol::STANZA_BYTES];
    let request = match words[0] {
        "unlock" => {
            Request::Unlock { user: ALICE, password, confirmed: false, hold: false, reader }
        }
        "confirmed" => {
            Request::Unlock { user: ALICE, password, confirmed: true, hold: false, reader }
        }
        "lease" => Request::Lease { user: ALICE, reader },
        "recover" => Request::Recover { user: ALICE, stanzas: &stanza },
        "lock" => Request::Lock { user: Some(ALICE) },
        "status" => Request::Status { user: Some(ALICE), after: "" },
        other => panic!("no request: {other}"),
    };
    let mut client = Client::connect(socket.as_ref(), &[0], PATIENCE).unwrap();
    let answer = match client.ask(&request).unwrap() {
        Reply::Unlocked { .. } => "unlocked",
        Reply::Denied => "denied",
        Reply::Locked => "locked",
        Reply::Keys(_) => "keys",
        Reply::Done => "done",
        Reply::Status { .. } => "status",
        other => panic!("{other:?}"),
    };
    println!("\nanswer: {answer}");
}

/// What the agent answers a process of that user.
#[track_caller]
fn asked(site: &Site, uid: u32, request: &str) -> String {
    let uid = uid.to_string();
    // Built where perhaps not everybody may go.
    let program = site.join("client");
    if !program.exists() {
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let above = site.path().parent().unwrap().to_owned();
        fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"]).arg(program);
    command.args(["--exact", "one_request_as_this_user", "--nocapture"]).current_dir("/");
    command.env("NIGHTSAFE_TEST_SOCKET", site.join("agent"));
    command.env("NIGHTSAFE_TEST_REQUEST", request);
    let said = finish(&mut command, b"").good().text();
    let answer = said.lines().find_map(|line| line.strip_prefix("answer: "));
    answer.unwrap_or_else(|| panic!("no answer: {said}")).to_owned()
}

#[test]
fn an_ordinary_user_names_no_other_reader() {
    assert!(rustix::process::geteuid().is_root(), "only root can be several users");
    let site = site_with("");
    site.enroll(ALICE, b"pw").good();
    let allow = format!("linger = 100000\nallow = {{ {SESSION} = [\"login\", \"read\"] }}");
    site.configure("", &settings(&site, &allow));
    let agent = Agent::start(&site);
    let named = |request: &str| format!("{request} {OTHER}");

    // Not with the right password, and not himself by number: to name anybody is not his.
    assert_eq!(asked(&site, ORDINARY, &named("unlock")), "denied");
    assert_eq!(asked(&site, ORDINARY, &format!("unlock {ORDINARY}")), "denied");
    assert_eq!(asked(&site, ORDINARY, &named("confirmed")), "denied");
    assert_eq!(asked(&site, ORDINARY, "confirmed"), "denied");
    assert!(agent.status(ALICE).unlocked.is_none(), "a denied request unlocked");

    // With the password he reads himself, and still lets in nobody else, by a lease neither.
    assert_eq!(asked(&site, ORDINARY, "unlock"), "unlocked");
    assert_eq!(asked(&site, ORDINARY, "recover"), "keys");
    assert_eq!(asked(&site, ORDINARY, &named("lease")), "denied");
    assert_eq!(asked(&site, ORDINARY, &named("unlock")), "denied");
    for request in ["recover", "lease", "lock"] {
        assert_eq!(asked(&site, OTHER, request), "locked", "{request}");
    }
    assert_eq!(asked(&site, OTHER, "status"), "denied");
    assert_eq!(agent.status(ALICE).leases, 0);

    // Who may, can: then the other one reads, and nobody beside him.
    assert_eq!(asked(&site, SESSION, &named("lease")), "unlocked");
    assert_eq!(asked(&site, OTHER, "recover"), "keys");
    assert_eq!(asked(&site, OTHER + 100, "recover"), "locked");
}
