//! What the agent costs: content keys against a bare loop of the same ciphers, one batch for a listing of
//! 10,000 messages, and a reconnect against a first login. Ratios within one run.
//! `cargo bench --bench agent`

#[path = "../support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Instant;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _};
use hkdf::Hkdf;
use nightsafe::age::{FileKey, SecretKey, Wrapped, wrap};
use nightsafe::agent::protocol::{Reply, Request, STANZA_BYTES};
use sha2::Sha256;
use support::agent::{Agent, confirmed, cpu_seconds_of, site_with, unlocked};

const ALICE: &str = "alice@example.org";
const BATCH: usize = 10_000;

fn main() {
    let site = site_with("linger = 100000");
    site.enroll(ALICE, b"pw").good();
    let identity = site.identity(ALICE, b"pw").good().text();
    let line = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    let key = SecretKey::parse(line).unwrap();
    let agent = Agent::start(&site);
    content_keys(&agent, &key);
    reconnects(&agent);
}

fn rounds(default: usize) -> usize {
    std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

/// In turn: a batch by the agent, and the same stanzas by a bare loop here.
fn content_keys(agent: &Agent, key: &SecretKey) {
    let file_key = FileKey::random();
    let stanza = || Wrapped::of(&wrap(&file_key, &key.public_key()).unwrap()).unwrap().unwrap();
    let stanzas: Vec<u8> = (0..BATCH).flat_map(|_| stanza().0).collect();
    let mut client = agent.client();
    unlocked(client.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    let recover = Request::Recover { user: ALICE, stanzas: &stanzas };
    let own = std::process::id();
    let (mut times, mut by_agent, mut bare) = (Vec::new(), 0.0, 0.0);
    let rounds = rounds(15);
    for _ in 0..rounds {
        let (begun, cpu) = (Instant::now(), agent.cpu_seconds());
        let answers = client.ask(&recover).unwrap();
        times.push(begun.elapsed().as_secs_f64());
        by_agent += agent.cpu_seconds() - cpu;
        let Reply::Keys(answers) = answers else { panic!("no keys") };
        assert!(answers.expose().chunks(17).all(|answer| answer[1..] == file_key.expose()[..]));
        let cpu = cpu_seconds_of(own);
        for stanza in stanzas.chunks(STANZA_BYTES) {
            assert_eq!(black_box(bare_open(stanza, key)), *file_key.expose());
        }
        bare += cpu_seconds_of(own) - cpu;
    }
    times.sort_by(f64::total_cmp);
    let count = (BATCH * rounds) as f64;
    println!(
        "content keys a second and core: agent {:.0}, bare {:.0}",
        count / by_agent,
        count / bare
    );
    println!("agent / bare                    {:.2}   (goal at most 1.3)", by_agent / bare);
    println!("a batch of {BATCH}, one reader   {:.3} s (median)", times[times.len() / 2]);
}

/// X25519 (RFC 7748), HKDF-SHA-256 (RFC 5869) and ChaCha20-Poly1305 (RFC 8439) as the libraries have
/// them, and nothing else.
fn bare_open(stanza: &[u8], key: &SecretKey) -> [u8; 16] {
    let (share, body) = stanza.split_first_chunk::<32>().unwrap();
    let scalar = x25519_dalek::StaticSecret::from(*key.expose());
    let shared = scalar.diffie_hellman(&(*share).into());
    let mut salt = [0; 64];
    salt[..32].copy_from_slice(share);
    salt[32..].copy_from_slice(key.public_key().as_bytes());
    let mut wrapping = [0; 32];
    let hkdf = Hkdf::<Sha256>::new(Some(&salt), shared.as_bytes());
    hkdf.expand(b"age-encryption.org/v1/X25519", &mut wrapping).unwrap();
    let mut file_key: [u8; 16] = body[..16].try_into().unwrap();
    let tag: [u8; 16] = body[16..].try_into().unwrap();
    let place = InOutBuf::from(file_key.as_mut_slice());
    ChaCha20Poly1305::new(&wrapping.into())
        .decrypt_inout_detached(&[0; 12].into(), &[], place, &tag.into())
        .unwrap();
    file_key
}

/// First logins, and connections of who is logged in already.
fn reconnects(agent: &Agent) {
    let logins = 6;
    let cpu = agent.cpu_seconds();
    for _ in 0..logins {
        assert_eq!(agent.ask(&Request::Lock { user: None }), Reply::Done);
        unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
    }
    let first = (agent.cpu_seconds() - cpu) / f64::from(logins);
    let count = 10_000;
    let cpu = agent.cpu_seconds();
    let mut times: Vec<f64> = (0..count)
        .map(|_| {
            let begun = Instant::now();
            unlocked(agent.ask(&confirmed(ALICE, b"pw", true)));
            begun.elapsed().as_secs_f64()
        })
        .collect();
    let again = (agent.cpu_seconds() - cpu) / f64::from(count);
    times.sort_by(f64::total_cmp);
    let [median, most] = [50, 99].map(|percent| times[times.len() * percent / 100] * 1e6);
    println!("first login                     {:.1} ms of a core", first * 1e3);
    println!("reconnect, {count} of them      {:.1} us of a core", again * 1e6);
    println!("first / reconnect               {:.0}    (goal at least 200)", first / again);
    println!(
        "reconnect, connection and all   {median:.0} us (median), {most:.0} us (99 of 100); goal 1000"
    );
}
