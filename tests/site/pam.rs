//! PAM of one site: real stacks with real modules, and accounts and passwords that only this site has.
//!
//! Programs see it in a mount namespace of their own, in which `/etc` is a folder of the site. There
//! `pam_unix.so` checks and changes the passwords of users whom the machine does not know.

use super::agent;
use super::config;
use super::module::module;
use super::users::users;
use super::{Site, mode, password, server_file, success};
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The first user's number; the others' follow.
pub const FIRST_UID: u32 = 3001;

/// The site's `/etc`.
pub struct Pam<'a> {
    site: &'a Site,
    etc: PathBuf,
    module: PathBuf,
    /// What every line with nightsafe's module says beside what the example says.
    options: String,
}

/// Arguments: the folder, the program and its arguments. The process id stays.
const WITH_OWN_ETC: &str = r#"mount --bind "$1" /etc && shift && exec "$@""#;

/// Nothing of nightsafe: what the site's passwords are without it.
const PLAIN: &str = "auth requisite pam_unix.so nodelay\naccount required pam_unix.so\n\
                     session required pam_unix.so\npassword required pam_unix.so yescrypt\n";

impl<'a> Pam<'a> {
    /// Accounts for these users, with [`password`]s. Nothing of nightsafe is in a stack yet.
    pub fn new(site: &'a Site, names: &[&str]) -> Self {
        Self::with_module(site, names, module())
    }

    /// The same with another build of the module.
    pub fn with_module(site: &'a Site, names: &[&str], built: &Path) -> Self {
        let etc = site.join("private-etc");
        fs::create_dir(&etc).unwrap();
        mode(&etc, 0o755);
        fs::create_dir(etc.join("pam.d")).unwrap();
        let module = site.join("bin/pam_nightsafe.so");
        fs::copy(built, &module).unwrap();
        let socket = site.join(agent::SOCKET);
        let options = format!("socket={} agent={}", socket.display(), users().agent.name);
        let pam = Self { site, etc, module, options };
        pam.write_accounts(names);
        pam.stack("other", "auth required pam_deny.so\n");
        for service in ["chpasswd", "plain"] {
            pam.stack(service, PLAIN);
        }
        for name in names {
            pam.reset(name, &password(name));
        }
        pam
    }

    fn write_accounts(&self, names: &[&str]) {
        let machine = |file: &str| fs::read_to_string(Path::new("/etc").join(file)).unwrap();
        let (mut passwd, mut group) = (machine("passwd"), machine("group"));
        let mut shadow = String::new();
        for (name, id) in names.iter().zip(FIRST_UID..) {
            passwd += &format!("{name}:x:{id}:{id}::/:/bin/sh\n");
            group += &format!("{name}:x:{id}:\n");
            shadow += &format!("{name}:*:20000:0:99999:7:::\n");
        }
        let files = [("passwd", passwd), ("group", group), ("shadow", shadow)];
        let rest = ["login.defs", "nsswitch.conf", "services", "shells"];
        for (file, content) in files.into_iter().chain(rest.map(|file| (file, machine(file)))) {
            fs::write(self.etc.join(file), content).unwrap();
        }
        mode(&self.etc.join("shadow"), 0o600);
    }

    /// Options for the lines of stacks that are written from now on; the last of a kind counts.
    pub fn add_options(&mut self, options: &str) {
        self.options = format!("{} {options}", self.options);
    }

    /// A stack as it stands.
    pub fn stack(&self, service: &str, lines: &str) {
        fs::write(self.etc.join("pam.d").join(service), lines).unwrap();
    }

    /// The stack of `examples/pam.d/NAME`, for a service that may be called something else.
    pub fn example(&self, name: &str, service: &str) {
        let module = format!("{} {}", self.module.display(), self.options);
        let changes = [("pam_nightsafe.so", module)];
        // The comments speak of the module as well.
        let text = config::example(&format!("pam.d/{name}"), &changes);
        self.stack(service, &text);
    }

    /// How the module is named in a line of a stack.
    pub fn module(&self) -> String {
        format!("{} {}", self.module.display(), self.options)
    }

    /// A command that finds this site's PAM and accounts; its system log is the site's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.site.command("sh");
        command.args(["-c", WITH_OWN_ETC, "sh"]).arg(&self.etc).arg(program);
        command
    }

    /// The folder that is `/etc`.
    pub fn etc(&self) -> &Path {
        &self.etc
    }

    /// Sets a login password as root does, without the old one and without nightsafe.
    pub fn reset(&self, user: &str, password: &str) {
        let mut command = self.command("chpasswd");
        success(&feed(&mut command, &format!("{user}:{password}\n")));
    }

    /// Runs pamtester(1), which answers what it is asked with these lines.
    pub fn pamtester(&self, service: &str, user: &str, does: &[&str], lines: &[&str]) -> Output {
        feed(&mut self.pamtester_command(service, user, does), &joined(lines))
    }

    /// The same, not run yet.
    pub fn pamtester_command(&self, service: &str, user: &str, does: &[&str]) -> Command {
        let mut command = self.command(server_file("/usr/bin/pamtester"));
        command.args([service, user]).args(does);
        command
    }

    /// Whether the site's own check takes this password.
    pub fn accepts(&self, user: &str, password: &str) -> bool {
        self.pamtester("plain", user, &["authenticate"], &[password]).status.success()
    }

    /// Runs a program as the user, who types these lines.
    pub fn as_user(&self, user: &str, program: &str, lines: &[&str]) -> Output {
        feed(&mut self.user_command(user, program), &joined(lines))
    }

    /// The same, not run yet.
    pub fn user_command(&self, user: &str, program: &str) -> Command {
        let mut command = self.command("setpriv");
        let uid = self.uid(user).to_string();
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", program]);
        command
    }

    /// The number of a user.
    pub fn uid(&self, user: &str) -> u32 {
        let passwd = fs::read_to_string(self.etc.join("passwd")).unwrap();
        let line = passwd.lines().find(|line| line.split(':').next() == Some(user)).unwrap();
        line.split(':').nth(2).unwrap().parse().unwrap()
    }
}

fn joined(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

/// Runs a command to its end with this on its standard input.
pub fn feed(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who does not read it answers for it with its status.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Everything that a command said.
pub fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
