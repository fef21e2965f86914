//! A store, and nightsafe before it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nightsafe::sys::socket::Address;

use crate::relay;
use crate::site::cyrus::Cyrus;
use crate::site::dovecot::Dovecot;
use crate::site::process::{Server, free_port, wait_for};
use crate::site::store::Store as _;
use crate::site::{Site, mode, server_file, server_libraries};

/// What stands behind nightsafe.
#[derive(Clone, Copy)]
pub(crate) enum Store {
    /// Postfix' smtp-sink, which takes everything and keeps nothing.
    Sink,
    /// The same, and nightsafe before it, on TCP.
    TcpSink,
    Cyrus,
    Dovecot,
    /// With mail_crypt and a key for each user.
    DovecotCrypt,
}

pub(crate) struct BenchSite {
    // The servers before the folder that they are in.
    hook: Option<Server>,
    _store: Running,
    site: Site,
    /// As nightsafe's configuration has them.
    store: Address,
    hook_at: Address,
}

#[expect(dead_code, reason = "they are kept for their end")]
enum Running {
    Sink(Server),
    Cyrus(Cyrus),
    Dovecot(Dovecot),
}

impl BenchSite {
    /// A store with `mailboxes`: each run fills a fresh one, for Dovecot slows as one fills. Their mail
    /// is sealed for one user, whom the map makes of all of them.
    pub(crate) fn start(folder: &Path, store: Store, mailboxes: usize) -> Self {
        let site = Site::new_in(folder, "");
        site.enroll("owner");
        let names: Vec<String> = (0..mailboxes).map(|index| format!("user{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (running, socket) = match store {
            Store::Sink => {
                mode(site.path(), 0o777);
                let at = unix(site.join("sink"));
                (Running::Sink(sink(&at)), at)
            }
            Store::TcpSink => {
                let at = Address::Inet(format!("127.0.0.1:{}", free_port()));
                (Running::Sink(sink(&at)), at)
            }
            Store::Cyrus => {
                // The same message again and again.
                let cyrus = Cyrus::start_with(&site, &names, "\nduplicatesuppression: no\n");
                let socket = unix(cyrus.lmtp_socket());
                (Running::Cyrus(cyrus), socket)
            }
            Store::Dovecot => {
                let dovecot = Dovecot::start(&site, &names);
                let socket = unix(dovecot.lmtp_socket());
                (Running::Dovecot(dovecot), socket)
            }
            Store::DovecotCrypt => {
                let dovecot = Dovecot::start_crypt(&site, &names);
                let socket = unix(dovecot.lmtp_socket());
                (Running::Dovecot(dovecot), socket)
            }
        };
        let said = || site.system_log();
        wait_for("the store", said, || answers(&socket));
        let hook_at = match store {
            Store::TcpSink => Address::Inet(format!("127.0.0.1:{}", free_port())),
            _ => unix(site.join("hook")),
        };
        let mut bench = Self { hook: None, _store: running, site, store: socket, hook_at };
        if !matches!(store, Store::DovecotCrypt) {
            bench.start_hook(&names);
        }
        bench
    }

    fn start_hook(&mut self, names: &[&str]) {
        let at = |name: &str| self.site.join(name).display().to_string();
        let many = (1..50).map(|index| format!("{index}user0 owner\n"));
        let map: String = names.iter().map(|name| format!("{name} owner\n")).chain(many).collect();
        fs::write(at("etc/map"), map).unwrap();
        let file = at("etc/nightsafe.toml");
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("[users]\n", &format!("[users]\nmap = \"{}\"\n", at("etc/map")));
        let (hook, metrics, store) = (&self.hook_at, at("metrics"), &self.store);
        let lmtp = format!(
            "[lmtp]\nlisten = [\"{hook}\"]\nbackend = \"{store}\"\nmetrics = [\"unix:{metrics}\"]\n"
        );
        fs::write(&file, text + &lmtp).unwrap();
        let mut command = self.site.nightsafe(&["lmtp"]);
        let server = Server::start(command.stdout(Stdio::null()));
        self.hook = Some(server);
        let said = || self.site.system_log();
        wait_for("nightsafe", said, || answers(&self.hook_at));
    }

    /// The store, as smtp-source takes it.
    pub(crate) fn store(&self) -> String {
        shown(&self.store)
    }

    /// nightsafe, as smtp-source takes it.
    pub(crate) fn hook(&self) -> String {
        shown(&self.hook_at)
    }

    /// A relay to the store, as smtp-source takes it.
    pub(crate) fn relay(&self) -> String {
        shown(&relay::start(&self.store, self.site.path()))
    }

    pub(crate) fn user(&self, index: usize) -> String {
        format!("user{index}")
    }

    fn hook_file(&self, name: &str) -> String {
        let id = self.hook.as_ref().unwrap().id();
        fs::read_to_string(format!("/proc/{id}/{name}")).unwrap()
    }

    /// Microseconds of CPU that nightsafe has used so far. The kernel counts in nanoseconds there, for
    /// each thread that lives.
    pub(crate) fn cpu_micros(&self) -> f64 {
        let id = self.hook.as_ref().unwrap().id();
        let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
        let nanos = tasks.filter_map(|task| {
            let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<f64>().ok()
        });
        nanos.sum::<f64>() / 1000.0
    }

    /// Microseconds that nightsafe's metrics have for the steps `prepare` and `seal`.
    pub(crate) fn step_micros(&self) -> [f64; 2] {
        ["prepare", "seal"].map(|step| {
            self.metric(&format!("step_seconds_sum{{step=\"{step}\"}}")).unwrap_or(0.0) * 1e6
        })
    }

    /// Octets of all messages that nightsafe has received.
    pub(crate) fn octets_in(&self) -> f64 {
        self.metric("message_in_bytes_total").unwrap()
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let mut stream = UnixStream::connect(self.site.join("metrics")).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let name = format!("nightsafe_lmtp_{name} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&name));
        value.map(|value| value.parse().unwrap())
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        let status = self.hook_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn unix(path: PathBuf) -> Address {
    Address::Unix(path)
}

/// As Postfix' tools have it, who need no word for TCP.
fn shown(address: &Address) -> String {
    address.to_string().trim_start_matches("inet:").to_owned()
}

fn answers(address: &Address) -> Option<()> {
    match address {
        Address::Unix(path) => UnixStream::connect(path).is_ok(),
        Address::Inet(host) => TcpStream::connect(host).is_ok(),
    }
    .then_some(())
}

fn sink(at: &Address) -> Server {
    let mut command = Command::new(server_file("/usr/sbin/smtp-sink"));
    command.env("LD_LIBRARY_PATH", server_libraries()).args(["-L", "-u", "nobody"]);
    Server::start(command.arg(shown(at)).arg("1000"))
}
