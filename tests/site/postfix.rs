//! A real Postfix with the transports of `examples/postfix`, and what its log says of each delivery.

use super::mta::{Attempt, Mta};
use super::process::{Server, free_port, wait_for};
use super::system_log::read;
use super::users::{group, users};
use super::{Site, config, hook, mode, server_file, server_libraries, smtp};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// Which of the example's transports carries the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    Cyrus,
    /// The same transport, with Dovecot's socket.
    Dovecot,
    Maildir,
    /// To `nightsafe lmtp`, whatever the store behind it.
    Lmtp,
}

impl Hop {
    /// Where the store listens, below the site.
    fn socket(self) -> &'static str {
        match self {
            Hop::Dovecot => "dovecot/run/lmtp",
            Hop::Cyrus | Hop::Maildir => "cyrus/run/socket/lmtp",
            Hop::Lmtp => hook::SOCKET,
        }
    }

    /// What the examples for it say: `main.cf` and then `master.cf`.
    fn examples(self, site: &Site, wrapper: &str) -> [String; 2] {
        if self == Hop::Lmtp {
            let socket = site.join(self.socket()).display().to_string();
            let main = [("/run/nightsafe/lmtp", socket)];
            return [
                config::example("postfix-lmtp/main.cf", &main),
                config::example("postfix-lmtp/master.cf", &[]),
            ];
        }
        let mut master = config::nightsafe_replacements(site, self.socket());
        if !wrapper.is_empty() {
            master.push(("argv=", format!("argv={wrapper} ")));
        }
        let transport = match self {
            Hop::Maildir => "virtual_transport = nightsafe-maildir\n",
            _ => "virtual_transport = nightsafe\n",
        };
        let main = [("virtual_transport = nightsafe\n", transport.to_owned())];
        [config::example("postfix/main.cf", &main), config::example("postfix/master.cf", &master)]
    }
}

/// A running Postfix. It ends with the value; its queue stays below the site.
pub struct Postfix {
    folder: PathBuf,
    port: u16,
    master: Server,
}

impl Postfix {
    pub fn start(site: &Site, hop: Hop) -> Self {
        Self::start_through(site, hop, "")
    }

    /// Like `start`, but the command line that Postfix runs begins with another program, such as
    /// `/usr/bin/env NAME=value`, which then runs nightsafe.
    pub fn start_through(site: &Site, hop: Hop, wrapper: &str) -> Self {
        let folder = site.join("postfix");
        let port = free_port();
        make_folders(&folder);
        write_configuration(site, &folder, port, hop, wrapper);
        let master = run(site, &folder, port);
        Self { folder, port, master }
    }

    /// The same Postfix, started again with a line of its main.cf replaced.
    pub fn restarted_with(self, site: &Site, line: &str, other: &str) -> Self {
        let Self { folder, port, master } = self;
        drop(master);
        // Its children end a moment after it, and would take connections until then.
        let gone = || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(());
        wait_for("Postfix to end", || read(&folder.join("log/mail.log")), gone);
        let path = folder.join("etc/main.cf");
        let content = fs::read_to_string(&path).unwrap();
        assert!(content.contains(line), "main.cf does not say {line:?} any more");
        write_old(&path, &content.replacen(line, other, 1));
        let master = run(site, &folder, port);
        Self { folder, port, master }
    }

    /// Hands in a message with the null sender, like a bounce; gives its queue id.
    pub fn submit_bounce(&self, recipient: &str, message: &[u8]) -> String {
        smtp::submit(self.port, "", &[recipient], message)
    }

    /// Tries everything that is deferred again, now.
    pub fn flush(&self) {
        let status = Command::new(server_file("/usr/sbin/postqueue"))
            .arg("-c")
            .arg(self.folder.join("etc"))
            .arg("-f")
            .env("LD_LIBRARY_PATH", server_libraries())
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "postqueue -f: {status}");
    }

    /// Tries again and waits for what comes of it.
    pub fn retry(&self, id: &str) -> Attempt {
        self.wait_until_deferred(id);
        let before = self.attempts(id).len();
        self.flush();
        self.attempt(id, before + 1)
    }

    /// Waits for the message to be back in the queue, a moment after the attempt is in the log; only
    /// there a flush finds it.
    pub fn wait_until_deferred(&self, id: &str) {
        wait_for(
            "the message to be deferred",
            || self.log(),
            || self.queued_in("deferred").iter().any(|file| file == id).then_some(()),
        );
    }

    fn queued_in(&self, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        files(&self.folder.join("queue").join(name), &mut ids);
        ids
    }
}

impl Mta for Postfix {
    fn port(&self) -> u16 {
        self.port
    }

    fn log(&self) -> String {
        read(&self.folder.join("log/mail.log"))
    }

    fn attempts(&self, id: &str) -> Vec<Attempt> {
        let mark = format!(": {id}: to=<");
        self.log().lines().filter_map(|line| attempt(line.split_once(&mark)?.1)).collect()
    }

    fn queued(&self) -> Vec<String> {
        ["maildrop", "incoming", "active", "deferred", "hold", "corrupt"]
            .iter()
            .flat_map(|name| self.queued_in(name))
            .collect()
    }
}

/// `alice@example.org>, relay=nightsafe, …, dsn=2.0.0, status=sent (delivered …)`
fn attempt(line: &str) -> Option<Attempt> {
    let (recipient, line) = line.split_once('>')?;
    let (_, line) = line.split_once(", dsn=")?;
    let (dsn, line) = line.split_once(", status=")?;
    let (status, text) = line.split_once(' ').unwrap_or((line, ""));
    Some(Attempt {
        recipient: recipient.to_owned(),
        status: status.to_owned(),
        dsn: dsn.to_owned(),
        text: text.trim_start_matches('(').trim_end_matches(')').to_owned(),
    })
}

/// Starts the server and waits until it listens.
fn run(site: &Site, folder: &Path, port: u16) -> Server {
    let mut command = site.command(server_file("/usr/lib/postfix/sbin/master"));
    command
        .arg("-c")
        .arg(folder.join("etc"))
        .env("LD_LIBRARY_PATH", server_libraries())
        .stdin(Stdio::null());
    let mut master = Server::start(&mut command);
    let log = folder.join("log/mail.log");
    wait_for(
        "Postfix to listen",
        || read(&log),
        || {
            assert!(master.is_running(), "Postfix ended: {}", read(&log));
            TcpStream::connect(("127.0.0.1", port)).ok()
        },
    );
    master
}

/// What Postfix' own installation makes, with its owners and modes.
fn make_folders(folder: &Path) {
    let owner = Some(users().postfix.uid);
    let postdrop = Some(group(users().postdrop));
    for (name, bits) in
        [("", 0o755), ("etc", 0o755), ("log", 0o755), ("queue", 0o755), ("queue/pid", 0o755)]
    {
        fs::create_dir_all(folder.join(name)).unwrap();
        mode(&folder.join(name), bits);
    }
    let queues = "active bounce corrupt defer deferred flush hold incoming private saved trace";
    for name in queues.split(' ').map(|name| format!("queue/{name}")).chain(["data".to_owned()]) {
        fs::create_dir_all(folder.join(&name)).unwrap();
        chown(folder.join(&name), owner, None).unwrap();
        mode(&folder.join(&name), 0o700);
    }
    for (name, bits) in [("queue/maildrop", 0o730), ("queue/public", 0o710)] {
        fs::create_dir_all(folder.join(name)).unwrap();
        chown(folder.join(name), owner, postdrop).unwrap();
        mode(&folder.join(name), bits);
    }
}

/// Debian's own master.cf and a main.cf that only says where things are; the examples behind them,
/// as on a real site.
fn write_configuration(site: &Site, folder: &Path, port: u16, hop: Hop, wrapper: &str) {
    let at = folder.display();
    let [main, master] = hop.examples(site, wrapper);
    let debian = read(&server_file("/usr/share/postfix/master.cf.dist"));
    assert!(
        debian.contains("\nsmtp      inet  n       -       y"),
        "an unknown master.cf of Debian"
    );
    let debian = debian.replacen("\nsmtp      inet", &format!("\n127.0.0.1:{port} inet"), 1);
    write_old(&folder.join("etc/master.cf"), &format!("{debian}\n{master}"));
    let (daemons, commands) =
        (server_file("/usr/lib/postfix/sbin"), server_file("/usr/sbin/postqueue"));
    let base = format!(
        "compatibility_level = 3.6\n\
         queue_directory = {at}/queue\ndata_directory = {at}/data\n\
         maillog_file = {at}/log/mail.log\n\
         daemon_directory = {daemons}\ncommand_directory = {commands}\n\
         mail_owner = {owner}\nsetgid_group = {postdrop}\n\
         import_environment = MAIL_CONFIG MAIL_LOGTAG POSTLOG_SERVICE POSTLOG_HOSTNAME LANG=C TZ=UTC \
         LD_LIBRARY_PATH={libraries}\n\
         myhostname = mx.example.org\nmydestination =\nmynetworks = 127.0.0.0/8\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nsmtpd_peername_lookup = no\n\
         alias_maps =\nlocal_recipient_maps =\nmessage_size_limit = 200000000\n\
         virtual_mailbox_limit = 0\nmailbox_size_limit = 0\n\
         # After a crash Postfix waits before it starts that program again; a test need not.\n\
         service_throttle_time = 1s\ntransport_retry_time = 1s\n\
         # Mail for the outside world, such as bounces, goes nowhere.\n\
         default_transport = discard:\nrelay_transport = discard:\n\n",
        daemons = daemons.display(),
        commands = commands.parent().unwrap().display(),
        owner = users().postfix.name,
        postdrop = users().postdrop,
        libraries = server_libraries(),
    );
    write_old(&folder.join("etc/main.cf"), &format!("{base}{main}"));
}

/// Postfix reads a configuration file that was changed within the last seconds again and again,
/// until it is sure that nobody is still writing.
fn write_old(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    let minute_ago = SystemTime::now() - Duration::from_secs(60);
    fs::File::options().write(true).open(path).unwrap().set_modified(minute_ago).unwrap();
}

/// The names of all files below a folder. Files move while we look.
fn files(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), names),
            Ok(_) => names.push(entry.file_name().to_string_lossy().into_owned()),
            Err(_) => {}
        }
    }
}
