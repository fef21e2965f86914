//! What a delivery costs as a whole process, as a ratio to `age -r`, `gpg --encrypt` and `cat`: each
//! reads a warm file and writes to memory. `cargo bench --bench process`

#[path = "rounds.rs"]
mod rounds;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rounds::Contender;

const USER: &str = "alice@example.org";

fn main() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let at = |name: &str| folder.path().join(name);
    let recipient = site(folder.path());
    fs::create_dir(at("gnupg")).unwrap();
    let gpg = |arguments: &[&str]| {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(at("gnupg")).args(["--batch", "--quiet"]).args(arguments);
        command
    };
    done(gpg(&["--passphrase", "", "--quick-generate-key", USER, "default", "default", "never"]));

    for (name, message) in messages() {
        let input = at(name);
        fs::write(&input, &message).unwrap();
        let output = at("output");
        let time = |mut command: Command| {
            command.stdin(File::open(&input).unwrap()).stdout(File::create(&output).unwrap());
            assert!(command.stderr(Stdio::null()).status().unwrap().success());
        };
        println!("\n{name}: {} octets", message.len());
        let mut contenders: Vec<Contender<'_>> = vec![
            (
                "nightsafe deliver",
                Box::new(|| {
                    let mut command = nightsafe(folder.path());
                    command.args(["deliver", "--recipient", USER]);
                    time(command);
                }),
            ),
            (
                "age -r",
                Box::new(|| {
                    let mut command = Command::new("age");
                    command.args(["-r", &recipient]);
                    time(command);
                }),
            ),
            (
                "gpg --encrypt",
                Box::new(|| {
                    time(gpg(&["--trust-model", "always", "--recipient", USER, "--encrypt"]));
                }),
            ),
            ("cat", Box::new(|| time(Command::new("cat")))),
            ("true", Box::new(|| time(Command::new("true")))),
        ];
        let count = if message.len() > 10_000_000 { 9 } else { 60 };
        let medians = rounds::run(&mut contenders, count);
        for (index, name) in ["age -r", "gpg --encrypt", "cat"].iter().enumerate() {
            println!(
                "{:<28} {:>10.2}",
                format!("nightsafe / {name}"),
                medians[0] / medians[index + 1]
            );
        }
    }
    println!("\ngoal at 75 KB: at most 0.5 of age -r and 0.25 of gpg");
}

/// Four sizes: two messages of the corpus, and attachments of incompressible octets in base64.
fn messages() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("4 KB text", rounds::fixture("text/reply-with-quoting")),
        ("75 KB HTML", rounds::fixture("html/newsletter-75k")),
        ("1 MB attachment", rounds::fixture("attachment/photo-1m")),
        ("26 MB attachment", large(19_000_000)),
    ]
}

fn large(octets: usize) -> Vec<u8> {
    let mut attachment = vec![0; octets];
    getrandom::fill(&mut attachment).unwrap();
    let mut message = b"Subject: large\r\nContent-Type: application/octet-stream\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n"
        .to_vec();
    encodify::base64::MIME.encode_append(&attachment, &mut message);
    message
}

fn nightsafe(site: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightsafe"));
    command.arg("--config").arg(site.join("nightsafe.toml"));
    command
}

/// Makes a site with one user and gives her public key.
fn site(folder: &Path) -> String {
    let at = |name: &str| -> PathBuf { folder.join(name) };
    let path = folder.display();
    let config = format!(
        "[keys]\ndirectory = \"{path}/keys\"\npepper = \"{path}/pepper\"\n\
         provisional_key = \"{path}/provisional.key\"\n\
         sealing_key = \"{path}/sealing.key\"\n[seal]\ndomain = \"example.org\"\n"
    );
    fs::write(at("nightsafe.toml"), config).unwrap();
    fs::write(at("password"), "correct horse").unwrap();
    let mut setup = nightsafe(folder);
    setup.arg("setup");
    done(setup);
    let mut enroll = nightsafe(folder);
    enroll.args(["enroll", USER, "--password-file"]).arg(at("password"));
    String::from_utf8(done(enroll)).unwrap().trim().to_owned()
}

fn done(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
