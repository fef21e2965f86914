//! A real Cyrus with the files of `examples/cyrus`.

use super::imap::Imap;
use super::process::{Server, free_port, wait_for};
use super::store::Store;
use super::users::{group, users};
use super::{Site, config, mode, password, sasl_plugins, server_file, server_libraries};
use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Cyrus' folders, users and mailboxes, and the running server while it is up.
pub struct Cyrus {
    folder: PathBuf,
    port: u16,
    master: Option<Server>,
}

const ADMIN: &str = "cyrus";

/// The file with `extra` lines in place of those that set the same: Cyrus takes no option twice.
fn overridden(file: &str, extra: &str) -> String {
    let option = |line: &str| line.split_once(':').map(|(name, _)| name.to_owned());
    let set: Vec<_> = extra.lines().filter_map(option).collect();
    let kept = |line: &&str| option(line).is_none_or(|name| !set.contains(&name));
    let kept: String = file.lines().filter(kept).map(|line| format!("{line}\n")).collect();
    kept + extra
}

impl Cyrus {
    /// Starts a server in which these users have a mailbox, and [`password`]s.
    pub fn start(site: &Site, names: &[&str]) -> Self {
        Self::start_with(site, names, "")
    }

    /// The same with more lines for its imapd.conf.
    pub fn start_with(site: &Site, names: &[&str], extra: &str) -> Self {
        Self::start_as(site, names, [&[], &[]], extra)
    }

    /// The same with some words of its imapd.conf replaced.
    pub fn start_changed(site: &Site, names: &[&str], changes: &[(&'static str, String)]) -> Self {
        Self::start_as(site, names, [changes, &[]], "")
    }

    /// The same with LMTP on this TCP port as well, where one has to log in: as a site does whose
    /// store is another machine.
    pub fn start_with_port(site: &Site, names: &[&str], port: u16) -> Self {
        let program = server_file("/usr/lib/cyrus/bin/lmtpd");
        let service = format!(
            "SERVICES {{\n  lmtp cmd=\"{} -C {}\" listen=\"127.0.0.1:{port}\" maxchild=25\n",
            program.display(),
            site.join("cyrus/imapd.conf").display()
        );
        Self::start_as(site, names, [&[], &[("SERVICES {\n", service)]], "")
    }

    /// With changes to imapd.conf and cyrus.conf, and more lines for the first.
    fn start_as(
        site: &Site,
        names: &[&str],
        changes: [&[(&'static str, String)]; 2],
        extra: &str,
    ) -> Self {
        let folder = site.join("cyrus");
        let port = free_port();
        let user = &users().cyrus;
        let folders =
            ["", "lib", "lib/db", "lib/socket", "lib/proc", "lib/log", "lib/msg", "lib/lock"];
        // Cyrus makes the last one at the first delivery of all. Two that are first at once get in each
        // other's way, and one of them ends with an assertion: as if this server had had mail before.
        let folders = folders.iter().chain(&["spool", "sieve", "log", "spool/stage."]);
        for name in folders {
            let path = folder.join(name);
            fs::create_dir_all(&path).unwrap();
            chown(&path, Some(user.uid), Some(group("mail"))).unwrap();
            mode(&path, 0o700);
        }
        for name in ["", "log"] {
            mode(&folder.join(name), 0o755);
        }
        let tmpfiles = config::tmpfiles_replacements(site);
        config::make_folders(&config::example("cyrus/tmpfiles.conf", &tmpfiles));
        let [mut imapd, mut master] = config::cyrus_replacements(site, port);
        imapd.extend_from_slice(changes[0]);
        master.extend_from_slice(changes[1]);
        let imapd = overridden(&config::example("cyrus/imapd.conf", &imapd), extra);
        fs::write(folder.join("imapd.conf"), imapd).unwrap();
        fs::write(folder.join("cyrus.conf"), config::example("cyrus/cyrus.conf", &master)).unwrap();
        let mut cyrus = Self { folder, port, master: None };
        cyrus.add_login(ADMIN);
        for name in names {
            cyrus.add_login(name);
        }
        cyrus.up(site);
        let mut admin = cyrus.admin();
        for name in names {
            admin.command(&format!("CREATE user/{name}"));
        }
        cyrus
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn add_login(&self, name: &str) {
        let mut child = Command::new(server_file("/usr/sbin/saslpasswd2"))
            .args(["-f", &self.at("sasldb2"), "-c", "-p", "-u", &hostname(), name])
            .env("LD_LIBRARY_PATH", server_libraries())
            .env("SASL_PATH", sasl_plugins())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password(name).as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "saslpasswd2 for {name}");
        chown(self.at("sasldb2"), Some(users().cyrus.uid), None).unwrap();
    }

    /// A mailbox for a user who may have none yet.
    pub fn add_mailbox(&self, user: &str) {
        self.admin().command(&format!("CREATE user/{user}"));
    }

    /// Lets users do everything in a mailbox that is named as the administrator does: `user/bob/x`, or a
    /// shared one.
    pub fn share(&self, mailbox: &str, users: &[&str]) {
        for user in users {
            self.admin().command(&format!("SETACL {mailbox} {user} lrswipkxtecda"));
        }
    }

    /// A mailbox that is nobody's own.
    pub fn add_shared(&self, mailbox: &str, users: &[&str]) {
        self.admin().command(&format!("CREATE {mailbox}"));
        self.share(mailbox, users);
    }

    fn admin(&self) -> Imap {
        self.login(ADMIN)
    }

    /// Whether a client with this password gets in.
    pub fn lets_in(&self, user: &str, password: &str) -> bool {
        let mut client = Imap::connect(self.port).expect("Cyrus greets");
        client.try_command(&format!("LOGIN {user} \"{password}\"")).is_ok()
    }
}

impl Store for Cyrus {
    fn open(site: &Site, names: &[&str]) -> Self {
        Self::start(site, names)
    }

    fn open_with_duplicates(site: &Site, names: &[&str]) -> Self {
        let off = "duplicatesuppression: no".to_owned();
        Self::start_changed(site, names, &[("duplicatesuppression: yes", off)])
    }

    fn up(&mut self, site: &Site) {
        let mut command = site.command(server_file("/usr/lib/cyrus/bin/master"));
        command
            .args(["-C", self.at("imapd.conf").as_str(), "-M", &self.at("cyrus.conf")])
            .args(["-p", &self.at("run/master.pid"), "-L", &self.at("log/master")])
            .env("LD_LIBRARY_PATH", server_libraries())
            .env("SASL_PATH", sasl_plugins())
            .current_dir(&self.folder)
            // Cyrus ends by a signal to its whole process group: not to other tests' servers.
            .process_group(0)
            .stdin(Stdio::null());
        let mut master = Server::start(&mut command);
        let said = || site.system_log();
        wait_for("Cyrus to listen", said, || {
            assert!(master.is_running(), "Cyrus ended: {}", said());
            UnixStream::connect(self.lmtp_socket()).ok()?;
            Imap::connect(self.port)
        });
        self.master = Some(master);
    }

    fn server(&self) -> Option<&Server> {
        self.master.as_ref()
    }

    fn take_server(&mut self) -> Option<Server> {
        self.master.take()
    }

    fn lmtp_socket(&self) -> PathBuf {
        self.folder.join("run/socket/lmtp")
    }

    fn imap_port(&self) -> u16 {
        self.port
    }

    fn imap_address(&self) -> String {
        format!("unix:{}", self.folder.join("run/socket/imap").display())
    }

    /// Whoever delivers with a detail is nobody in particular, so anybody must have the right to post.
    fn add_folder(&self, user: &str, name: &str) {
        let mut admin = self.admin();
        admin.command(&format!("CREATE user/{user}/{name}"));
        admin.command(&format!("SETACL user/{user}/{name} anyone p"));
    }

    fn limit(&self, user: &str, kib: u32) {
        self.admin().command(&format!("SETQUOTA user/{user} (STORAGE {kib})"));
    }

    fn unlimit(&self, user: &str) {
        self.admin().command(&format!("SETQUOTA user/{user} ()"));
    }

    fn fill_up(&self, user: &str) {
        self.limit(user, 0);
    }
}

/// The realm of the passwords: Cyrus' default for `servername` is the name of the machine.
fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim_end().to_owned()
}
