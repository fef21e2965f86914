//! A site that the program set up in a temporary folder, with one user: what is asked of it goes
//! through the program's front door.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub const USER: &str = "alice@example.org";
const PASSWORD: &str = "correct horse battery staple\n";

pub struct Site {
    folder: TempDir,
}

impl Site {
    /// A new site in which [`USER`] is enrolled.
    pub fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        let at = site.path().display();
        let configuration = format!(
            "[keys]\ndirectory = \"{at}/keys\"\npepper = \"{at}/etc/pepper\"\n\
             provisional_key = \"{at}/etc/provisional.key\"\n\
             sealing_key = \"{at}/etc/sealing.key\"\n[seal]\ndomain = \"example.org\"\n"
        );
        std::fs::write(site.join("nightsafe.toml"), configuration).unwrap();
        std::fs::write(site.join("password"), PASSWORD).unwrap();
        success(&run(&mut site.command(&["setup"]), b""));
        site.enroll(USER);
        site
    }

    pub fn enroll(&self, user: &str) {
        let file = self.join("password");
        let arguments = ["enroll", user, "--password-file", file.to_str().unwrap()];
        success(&run(&mut self.command(&arguments), b""));
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("--config").arg(self.join("nightsafe.toml")).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        run(&mut self.command(arguments), input)
    }

    /// Delivers to standard output; the stored form.
    pub fn seal(&self, message: &[u8]) -> Vec<u8> {
        let output = self.run(&["deliver", "--recipient", USER], message);
        success(&output);
        output.stdout
    }

    /// `unseal` with the user's password and these arguments before it.
    pub fn unseal_with(&self, arguments: &[&str], stored: &[u8]) -> Output {
        let file = self.join("password");
        let password = ["--password-file", file.to_str().unwrap()];
        self.run(&[&["unseal"], arguments, &password].concat(), stored)
    }

    pub fn unseal(&self, stored: &[u8]) -> Vec<u8> {
        let output = self.unseal_with(&[], stored);
        success(&output);
        assert_eq!(text(&output.stderr), "");
        output.stdout
    }

    /// What `nightsafe identity` prints, in a file.
    pub fn identity_file(&self) -> PathBuf {
        let password = self.join("password");
        let arguments = ["identity", USER, "--password-file", password.to_str().unwrap()];
        let output = self.run(&arguments, b"");
        success(&output);
        let file = self.join("identity.txt");
        std::fs::write(&file, output.stdout).unwrap();
        file
    }
}

/// The program under test: the one just built, or `NIGHTSAFE_PROGRAM`, say an installed one.
fn program() -> PathBuf {
    std::env::var_os("NIGHTSAFE_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_nightsafe")), PathBuf::from)
}

/// Runs a command to its end with `input` as its standard input.
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A program that refuses may not read it all.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails with what the program said.
pub fn success(output: &Output) {
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
}
