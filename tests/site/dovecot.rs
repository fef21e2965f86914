//! A real Dovecot with the file of `examples/dovecot`.

use super::imap::Imap;
use super::pam::Pam;
use super::process::{Server, free_port, wait_for};
use super::store::Store;
use super::users::users;
use super::{Site, config, mode, password, success, unpacked};
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

/// Dovecot's folders and users, and the running server while it is up.
pub struct Dovecot {
    folder: PathBuf,
    port: u16,
    /// What is laid over `/etc`.
    etc: Option<PathBuf>,
    master: Option<Server>,
}

/// What mail_crypt adds to the file: every user's mail under a key of his own, which his password
/// opens. The key's password comes with the login, so delivery has none.
const CRYPT: &str = r"
mail_attribute_dict = file:%h/dovecot-attributes
plugin {
  mail_crypt_curve = prime256v1
  mail_crypt_save_version = 2
  mail_crypt_require_encrypted_user_key = yes
}
";

impl Dovecot {
    /// Starts a server that knows these users, with [`password`]s.
    pub fn start(site: &Site, names: &[&str]) -> Self {
        Self::start_with(site, names, "")
    }

    /// The same with more lines for its dovecot.conf.
    pub fn start_with(site: &Site, names: &[&str], extra: &str) -> Self {
        Self::start_changed(site, names, &[], extra)
    }

    /// The same with Dovecot's own encryption of stored mail, each user with a key.
    pub fn start_crypt(site: &Site, names: &[&str]) -> Self {
        let changes = [
            (" quota\n", " quota mail_crypt\n".to_owned()),
            ("passdb {", format!("passdb {{\n  override_fields = {KEY_PASSWORD}=%w")),
        ];
        let dovecot = Self::start_changed(site, names, &changes, CRYPT);
        for name in names {
            dovecot.make_key(site, name);
        }
        dovecot
    }

    /// The same which has PAM check passwords, with the site's own `/etc`.
    pub fn start_pam(site: &Site, names: &[&str], pam: &Pam<'_>) -> Self {
        let begin = "passdb {\n  driver = passwd-file\n  args = ";
        // Comments stand on lines of their own; what was there becomes one.
        let changes = [(begin, "passdb {\n  driver = pam\n  args = dovecot\n#".to_owned())];
        Self::start_in(site, names, &changes, "", Some(pam.etc()))
    }

    fn start_changed(
        site: &Site,
        names: &[&str],
        changes: &[(&'static str, String)],
        extra: &str,
    ) -> Self {
        Self::start_in(site, names, changes, extra, None)
    }

    fn start_in(
        site: &Site,
        names: &[&str],
        changes: &[(&'static str, String)],
        extra: &str,
        etc: Option<&Path>,
    ) -> Self {
        let folder = site.join("dovecot");
        let port = free_port();
        for name in ["", "run", "lib", "mail"] {
            fs::create_dir_all(folder.join(name)).unwrap();
            mode(&folder.join(name), 0o755);
        }
        let owner = &users().vmail;
        chown(folder.join("mail"), Some(owner.uid), Some(owner.gid)).unwrap();
        mode(&folder.join("mail"), 0o700);
        let mut replacements = config::dovecot_replacements(site, port);
        replacements.extend_from_slice(changes);
        let content = config::example("dovecot/dovecot.conf", &replacements) + extra;
        fs::write(folder.join("dovecot.conf"), content).unwrap();
        let etc = etc.map(Path::to_owned);
        let mut dovecot = Self { folder, port, etc, master: None };
        dovecot.write_users(names.iter().map(|name| user_line(name, "")));
        dovecot.up(site);
        dovecot
    }

    /// Whether a client with this password gets in.
    pub fn lets_in(&self, user: &str, password: &str) -> bool {
        let mut client = Imap::connect(self.port).expect("Dovecot greets");
        client.try_command(&format!("LOGIN {user} \"{password}\"")).is_ok()
    }

    /// Where a user's mail lies.
    pub fn maildir(&self, user: &str) -> PathBuf {
        self.folder.join("mail").join(user).join("Maildir")
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn set_fields(&self, user: &str, fields: &str) {
        self.set_line(user, &user_line(user, fields));
    }

    /// Gives a user another password than [`password`], as an administrator does.
    pub fn set_password(&self, user: &str, password: &str) {
        self.set_line(user, &format!("{user}:{{PLAIN}}{password}::::::\n"));
    }

    fn set_line(&self, user: &str, new: &str) {
        let file = fs::read_to_string(self.at("users")).unwrap();
        self.write_users(file.lines().map(|line| {
            let is_his = line.split(':').next() == Some(user);
            if is_his { new.to_owned() } else { format!("{line}\n") }
        }));
        // Dovecot looks for changes once a second.
        sleep(Duration::from_millis(1100));
    }

    /// In one step: the server may be reading it.
    fn write_users(&self, lines: impl Iterator<Item = String>) {
        let new = self.at("users.new");
        fs::write(&new, lines.collect::<String>()).unwrap();
        chown(&new, None, Some(users().dovecot.gid)).unwrap();
        mode(Path::new(&new), 0o640);
        fs::rename(new, self.at("users")).unwrap();
    }

    fn make_key(&self, site: &Site, user: &str) {
        let setting = KEY_PASSWORD.replace("userdb_", "plugin/");
        let mut command = unpacked::command(site, None, "/usr/bin/doveadm");
        command
            .args(["-c", &self.at("dovecot.conf")])
            .args(["-o", &format!("{setting}={}", password(user))])
            .args(["mailbox", "cryptokey", "generate", "-u", user, "-U"])
            .stdin(Stdio::null());
        success(&command.output().unwrap());
    }
}

impl Store for Dovecot {
    fn open(site: &Site, names: &[&str]) -> Self {
        Self::start(site, names)
    }

    fn open_with_duplicates(site: &Site, names: &[&str]) -> Self {
        Self::start(site, names)
    }

    fn up(&mut self, site: &Site) {
        let mut command = unpacked::command(site, self.etc.as_deref(), "/usr/sbin/dovecot");
        command
            .arg("-F")
            .args(["-c", &self.at("dovecot.conf")])
            // A signal that it sends to its whole group must not reach other tests' servers.
            .process_group(0)
            .stdin(Stdio::null());
        let mut master = Server::start(&mut command);
        let said = || site.system_log();
        wait_for("Dovecot to listen", said, || {
            assert!(master.is_running(), "Dovecot ended: {}", said());
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
        self.folder.join("run/lmtp")
    }

    fn imap_port(&self) -> u16 {
        self.port
    }

    fn add_folder(&self, user: &str, name: &str) {
        self.login(user).command(&format!("CREATE \"{name}\""));
    }

    fn limit(&self, user: &str, kib: u32) {
        self.set_fields(user, &format!("userdb_quota_rule=*:storage={kib}K"));
    }

    fn unlimit(&self, user: &str) {
        self.set_fields(user, "");
    }

    fn fill_up(&self, user: &str) {
        self.limit(user, 1);
    }
}

const KEY_PASSWORD: &str = "userdb_mail_crypt_private_password";

/// One line of the users' file, as the example describes it.
fn user_line(user: &str, fields: &str) -> String {
    format!("{user}:{{PLAIN}}{}::::::{fields}\n", password(user))
}
