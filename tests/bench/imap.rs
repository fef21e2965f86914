//! What reading costs through the proxy: the same mail plain for alice, straight at the store, and sealed
//! for bob, through nightsafe; and for Dovecot the same encrypted by mail_crypt. In turn, on tmpfs.
//! As root: `cargo bench --bench imap`, or with `cyrus` or `dovecot` behind `--`. `ROUNDS` sets how often
//! each contender runs, `MESSAGES` how many there are of the larger mailbox.

#[path = "../site/mod.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use site::cyrus::Cyrus;
use site::dovecot::Dovecot;
use site::proxy::Reading;
use site::store::Store;
use site::{Site, password};
use support::imap::Client;

/// What Thunderbird asks for of each message when it lists a mailbox.
const LIST: &str = "UID FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To Received)])";
/// Messages of the mailbox that is fetched as a whole.
const FEW: usize = 2_000;

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let has = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    println!(
        "seconds, medians of {} rounds; ratio: through nightsafe / direct",
        number("ROUNDS", 3)
    );
    if has("cyrus") {
        bench("cyrus", &open::<Cyrus>(), None);
    }
    if has("dovecot") {
        let crypt = Crypt::start();
        bench("dovecot", &open::<Dovecot>(), Some(&crypt));
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Both ways to one store.
struct Bench {
    reading: RefCell<Reading>,
    store: u16,
    _server: Box<dyn std::any::Any>,
    site: Site,
}

fn open<S: Store + 'static>() -> Bench {
    let site = Site::new_in(Path::new("/dev/shm"), "");
    site.enroll("bob");
    let server = S::open_with_duplicates(&site, &["alice", "bob"]);
    let store = server.imap_port();
    let reading = RefCell::new(Reading::start(&site, &server.imap_address()));
    let bench = Bench { reading, store, _server: Box::new(server), site };
    for (mailbox, count) in [("few", FEW), ("many", number("MESSAGES", 10_000))] {
        fill(&mut bench.direct(), mailbox, count);
        fill(&mut bench.through(), mailbox, count);
    }
    bench
}

impl Bench {
    fn direct(&self) -> Client {
        Client::login(self.store, "alice", &password("alice"))
    }

    fn through(&self) -> Client {
        Client::login(self.reading.borrow().port(), "bob", &password("bob"))
    }

    /// Begins the proxy anew: what was opened is forgotten, and the next session begins cold.
    fn cool(&self) {
        let mut reading = self.reading.borrow_mut();
        reading.proxy.stop();
        reading.proxy.up(&self.site);
    }

    /// Seconds of processor time that proxy and agent have used.
    fn cpu(&self) -> f64 {
        let reading = self.reading.borrow();
        [reading.proxy.id(), reading.agent.id()].into_iter().map(cpu_of).sum()
    }
}

fn cpu_of(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let after = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<&str> = after.split(' ').collect();
    let ticks: f64 =
        [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// Twenty kilobytes, each a little different.
fn message(index: usize) -> Vec<u8> {
    let path = format!("{}/fixtures/mail/html/statement-8bit.eml", env!("CARGO_MANIFEST_DIR"));
    let statement = fs::read(path).unwrap();
    let mut message = Vec::new();
    write!(message, "X-Number: {index}\r\n").unwrap();
    message.extend_from_slice(&statement);
    message
}

fn fill(client: &mut Client, mailbox: &str, count: usize) {
    client.command(format!("CREATE {mailbox}")).good();
    for index in 0..count {
        client.append(mailbox, "", &message(index)).good();
    }
}

/// Dovecot with mail_crypt and a key of the user's.
struct Crypt {
    server: Dovecot,
    _site: Site,
}

impl Crypt {
    fn start() -> Self {
        let site = Site::new_in(Path::new("/dev/shm"), "");
        let server = Dovecot::start_crypt(&site, &["carol"]);
        let crypt = Self { server, _site: site };
        fill(&mut crypt.client(), "few", FEW);
        crypt
    }

    fn client(&self) -> Client {
        Client::login(self.server.imap_port(), "carol", &password("carol"))
    }
}

/// Somebody else's encryption: his name, and a client who is logged in.
type Peer<'a> = (&'a str, Box<dyn Fn() -> Client + 'a>);

fn bench(name: &str, bench: &Bench, crypt: Option<&Crypt>) {
    let whole = "UID FETCH 1:* (UID FLAGS BODY.PEEK[])";
    let mut peers: Vec<Peer<'_>> = Vec::new();
    if let Some(crypt) = crypt {
        peers.push(("mail_crypt", Box::new(|| crypt.client())));
    }
    compare(name, bench, &format!("all of {FEW} x 20 KB"), "few", whole, true, &peers);
    compare(name, bench, "first listing", "many", LIST, true, &[]);
    compare(name, bench, "listing again, new login", "many", LIST, false, &[]);
    compare(name, bench, "SEARCH SUBJECT", "many", "UID SEARCH SUBJECT zwetschge", true, &[]);
    compare(name, bench, "SEARCH TEXT", "many", "UID SEARCH TEXT zwetschge", true, &[]);
    compare(name, bench, "FLAGS", "many", "UID FETCH 1:* (FLAGS)", false, &[]);
    compare(name, bench, "STORE", "many", "UID STORE 1:* +FLAGS.SILENT (\\Flagged)", false, &[]);
    single(name, bench);
    logins(name, bench);
}

/// The time of one command.
fn time(client: &mut Client, mailbox: &str, command: &str) -> f64 {
    client.command(format!("SELECT {mailbox}")).good();
    let begun = Instant::now();
    client.command(command).good();
    begun.elapsed().as_secs_f64()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn compare(
    name: &str,
    bench: &Bench,
    what: &str,
    mailbox: &str,
    command: &str,
    cold: bool,
    peers: &[Peer<'_>],
) {
    let (mut direct, mut through, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let mut others: Vec<Vec<f64>> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..number("ROUNDS", 3) {
        direct.push(time(&mut bench.direct(), mailbox, command));
        if cold {
            bench.cool();
        }
        let mut client = bench.through();
        let before = bench.cpu();
        through.push(time(&mut client, mailbox, command));
        cpu.push(bench.cpu() - before);
        for ((_, peer), times) in peers.iter().zip(&mut others) {
            times.push(time(&mut peer(), mailbox, command));
        }
    }
    let (direct, through) = (median(&mut direct), median(&mut through));
    print!(
        "{name:<8} {what:<26} direct {direct:>8.3}  through {through:>8.3}  ratio {:>6.2}  cpu {:.3}",
        through / direct,
        median(&mut cpu),
    );
    for ((peer, _), times) in peers.iter().zip(&mut others) {
        let other = median(times);
        print!("  {peer} {other:.3}, {:.1} times nightsafe's", other / through);
    }
    println!();
}

/// What one small command takes more.
fn single(name: &str, bench: &Bench) {
    let mut times = [Vec::new(), Vec::new()];
    let mut clients = [bench.direct(), bench.through()];
    for _ in 0..2000 {
        for (client, times) in clients.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            client.command("NOOP").good();
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let [direct, through] = times.map(|mut times| median(&mut times));
    println!(
        "{name:<8} one command: direct {direct:.3} ms, through {through:.3} ms, {:.3} more",
        through - direct
    );
}

/// Webmail: a login a click.
fn logins(name: &str, bench: &Bench) {
    let list = "UID FETCH 1:50 (UID FLAGS ENVELOPE RFC822.SIZE)";
    let cycle = |mut client: Client| {
        client.command("SELECT many").good();
        client.command(list).good();
        client.command("LOGOUT").good();
    };
    cycle(bench.through());
    let mut times = [0.0; 2];
    for _ in 0..100 {
        for (way, total) in times.iter_mut().enumerate() {
            let begun = Instant::now();
            cycle(if way == 0 { bench.direct() } else { bench.through() });
            *total += begun.elapsed().as_secs_f64();
        }
    }
    println!(
        "{name:<8} 100 logins: direct {:.3}, through {:.3}, ratio {:.2}",
        times[0],
        times[1],
        times[1] / times[0]
    );
}
