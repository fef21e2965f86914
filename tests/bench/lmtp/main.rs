//! What the pre-delivery hook costs in front of real stores: `smtp-source -L` straight to the store
//! against `smtp-source -L` to nightsafe to the store, and to a relay that does nothing to the store, in
//! turn, on tmpfs and on the disk of /var/tmp.
//! As root: `cargo bench --bench lmtp`, or with one of `stores`, `sink`, `recipients`, `memory` behind
//! `--`; behind `stores`, words of the lines that are wanted: `stores disk "75 KB" dovecot`. `ROUNDS` sets how
//! often each contender runs.

#[path = "../rounds.rs"]
#[allow(dead_code, reason = "only its messages are wanted here")]
mod rounds;
#[path = "../../site/mod.rs"]
mod site;

mod bench_site;
mod load;
mod relay;

use std::path::Path;

use bench_site::{BenchSite, Store};
use load::{Load, median, ratio};

/// Messages as they are: two of the corpus in HTML and one in text.
const MESSAGES: [(&str, &str); 3] = [
    ("4 KB", "text/reply-with-quoting"),
    ("20 KB", "html/statement-8bit"),
    ("75 KB", "html/newsletter-75k"),
];

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let (section, words) = wanted.split_first().unzip();
    let has = |name: &str| section.is_none_or(|section| section == name);
    if has("sink") {
        sink();
    }
    if has("recipients") {
        recipients();
    }
    if has("stores") {
        stores(words.unwrap_or_default());
    }
    if has("memory") {
        memory();
    }
}

fn rounds() -> usize {
    std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5)
}

/// Ratios of nightsafe to what it stands before, and to Dovecot's own encryption, where a line has all of
/// `words`.
fn stores(words: &[String]) {
    println!(
        "messages a second, as a ratio to direct: the median (least-most of {} rounds)",
        rounds()
    );
    for (disk, folder) in [("tmpfs", "/dev/shm"), ("disk", "/var/tmp")] {
        for (size, message) in MESSAGES {
            for sessions in [1, 4] {
                for (name, store, peer) in [
                    ("cyrus", Store::Cyrus, None),
                    ("dovecot", Store::Dovecot, Some(Store::DovecotCrypt)),
                ] {
                    let load = Load { message, sessions, count: 200 * sessions, recipients: 1 };
                    let what = format!("{disk:<6} {size:<6} {sessions} sessions  {name:<8}");
                    if words.iter().all(|word| what.contains(word)) {
                        compare(&what, Path::new(folder), store, peer, load);
                    }
                }
            }
        }
    }
}

/// A site of its own for each round: how fast a disk is differs more from site to site, and from minute to
/// minute, than what is measured. So each ratio is of one round. Each contender begins with a few messages
/// that do not count, and each comes first in its turn.
fn compare(what: &str, folder: &Path, store: Store, peer: Option<Store>, load: Load) {
    let [mut direct, mut through, mut relayed, mut crypt] = [const { Vec::new() }; 4];
    let begin = Load { count: 10 * load.sessions, ..load };
    for round in 0..rounds() {
        let bench = BenchSite::start(folder, store, 3);
        let mut contenders = [
            (bench.store(), 0, &mut direct),
            (bench.hook(), 1, &mut through),
            (bench.relay(), 2, &mut relayed),
        ];
        for (server, user, _) in &contenders {
            begin.run(server, &bench.user(*user));
        }
        contenders.rotate_left(round % 3);
        for (server, user, speeds) in contenders {
            speeds.push(load.run(&server, &bench.user(user)));
        }
        drop(bench);
        if let Some(peer) = peer {
            let bench = BenchSite::start(folder, peer, 1);
            begin.run(&bench.store(), &bench.user(0));
            crypt.push(load.run(&bench.store(), &bench.user(0)));
        }
    }
    print!("{what} nightsafe {}", ratio(&through, &direct));
    print!("   bare relay {}", ratio(&relayed, &direct));
    if peer.is_some() {
        print!("   nightsafe to mail_crypt {}", ratio(&through, &crypt));
    }
    println!("   direct {:.0} a second", median(direct));
}

/// How much is left of a store that does nothing, how much a relay leaves that does nothing either, and
/// where nightsafe's own time goes.
fn sink() {
    let rounds = rounds();
    for (name, store) in [("TCP", Store::TcpSink), ("Unix", Store::Sink)] {
        let bench = BenchSite::start(Path::new("/dev/shm"), store, 1);
        let relay = bench.relay();
        for (size, message) in MESSAGES {
            for sessions in [1, 4] {
                let load = Load { message, sessions, count: 1000 * sessions, recipients: 1 };
                let (mut direct, mut through, mut relayed) = (Vec::new(), Vec::new(), Vec::new());
                for server in [bench.store(), bench.hook(), relay.clone()] {
                    Load { count: 100, ..load }.run(&server, &bench.user(0));
                }
                for _ in 0..rounds {
                    direct.push(load.run(&bench.store(), &bench.user(0)));
                    through.push(load.run(&bench.hook(), &bench.user(0)));
                    relayed.push(load.run(&relay, &bench.user(0)));
                }
                let (direct, through) = (median(direct), median(through));
                let ratio = through / direct;
                println!(
                    "smtp-sink {name:<5} {size:<6} {sessions} sessions  direct {direct:>7.0}  nightsafe {through:>7.0}  ratio {ratio:.2}   bare relay {:.2}",
                    median(relayed) / direct
                );
            }
            steps(&bench, size, message);
        }
    }
}

/// With one session nothing waits for a processor, so the time of a step is its CPU time. With four there
/// is always something to do, and fewer waits begin and end.
fn steps(bench: &BenchSite, size: &str, message: &'static str) {
    const COUNT: usize = 2000;
    let run = |sessions| {
        let load = Load { message, sessions, count: COUNT * sessions, recipients: 1 };
        let before = bench.cpu_micros();
        load.run(&bench.hook(), &bench.user(0));
        (bench.cpu_micros() - before) / load.count as f64
    };
    let each = |before: f64, after: f64| (after - before) / COUNT as f64;
    let (before, octets) = (bench.step_micros(), bench.octets_in());
    let one = run(1);
    let after = bench.step_micros();
    // smtp-source ends each message with a line end of its own.
    let sent = rounds::fixture(message).len() as f64 + 2.0;
    assert_eq!(each(octets, bench.octets_in()), sent, "it arrives as it is");
    let four = run(4);
    let [prepare, seal] = [0, 1].map(|at| each(before[at], after[at]));
    println!(
        "          {size:<6} CPU of nightsafe a message: parse and compress {prepare:.0} us, seal {seal:.0}, all else {:.0} with one session, {:.0} with four",
        one - prepare - seal,
        four - prepare - seal
    );
}

/// What each further recipient of a 75 KB message costs, in nightsafe's own CPU.
fn recipients() {
    const MORE: usize = 10;
    let bench = BenchSite::start(Path::new("/dev/shm"), Store::Sink, 1);
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        for (recipients, times) in [(1, &mut one), (1 + MORE, &mut many)] {
            let load = Load { message: MESSAGES[2].1, sessions: 1, count: 300, recipients };
            let before = bench.cpu_micros();
            load.run(&bench.hook(), &bench.user(0));
            times.push((bench.cpu_micros() - before) / load.count as f64);
        }
    }
    let (one, many) = (median(one), median(many));
    let further = (many - one) / MORE as f64;
    println!(
        "75 KB: CPU for one recipient {one:.0} us, for each further one {further:.0} us: {:.2} of the first",
        further / one
    );
}

/// What the process holds after each tenth of 100,000 deliveries.
fn memory() {
    const TENTH: usize = 10_000;
    let bench = BenchSite::start(Path::new("/dev/shm"), Store::Sink, 1);
    println!("idle: {} KiB resident", bench.resident_kib());
    for tenth in 1..=10 {
        let (_, message) = MESSAGES[tenth % MESSAGES.len()];
        let load = Load { message, sessions: 4, count: TENTH, recipients: 1 };
        load.run(&bench.hook(), &bench.user(0));
        println!("after {:>7} deliveries: {} KiB resident", tenth * TENTH, bench.resident_kib());
    }
}
