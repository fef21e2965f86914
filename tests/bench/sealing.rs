//! What sealing costs in this process, as a ratio to the raw steps that it cannot do without:
//! compression, one X25519 stanza, the cipher, base64. `cargo bench --bench sealing`

#[path = "rounds.rs"]
mod rounds;

use std::hint::black_box;

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use nightsafe::age::{self, PublicKey, SecretKey};
use nightsafe::seal::payload::Packer;
use nightsafe::seal::{ClearHeaders, Draft, Fixed, SealingKey};
use nightsafe::user::User;
use x25519_dalek::{PublicKey as Point, StaticSecret};

use rounds::Contender;

fn main() {
    let key = SecretKey::generate().public_key();
    let site = SealingKey::generate("0123456789abcdef");
    let user = User::parse("alice@example.org").unwrap();
    let fixed = Fixed {
        domain: "example.org".into(),
        from: "Sealed mail".into(),
        subject: "Sealed message".into(),
        notice: "Sealed.\r\n".into(),
        clear_headers: ClearHeaders::default(),
    };
    for name in ["text/reply-with-quoting", "html/newsletter-75k", "attachment/photo-1m"] {
        let message = rounds::fixture(name);
        let packed = Packer::new().unwrap().pack(&message).unwrap();
        println!("\n{name}: {} octets, {} compressed", message.len(), packed.len());
        let mut contenders: Vec<Contender<'_>> = vec![
            ("raw: zstd level 1", Box::new(|| drop(black_box(zstd_raw(&message))))),
            ("raw: one X25519 stanza", Box::new(|| _ = black_box(stanza_raw(&key)))),
            ("raw: ChaCha20-Poly1305", Box::new(|| drop(black_box(cipher_raw(packed.expose()))))),
            ("raw: base64", Box::new(|| drop(black_box(base64_raw(packed.expose()))))),
            ("body alone", Box::new(|| drop(black_box(body(&message, &key))))),
            (
                "sealed message",
                Box::new(|| {
                    let draft = Draft::new(&message, &fixed.clear_headers, 1_795_000_000).unwrap();
                    let sealed = draft.seal_for(&user, &key, &site, &fixed).unwrap();
                    let mut out = Vec::new();
                    sealed.write_to(&mut out).unwrap();
                    drop(black_box(out));
                }),
            ),
        ];
        let medians = rounds::run(&mut contenders, 400);
        let raw: f64 = medians[..4].iter().sum();
        println!("{:<28} {raw:>10.1} us", "sum of the raw steps");
        println!("{:<28} {:>10.2}   (goal: at most 1.2)", "body / raw", medians[4] / raw);
        println!("{:<28} {:>10.2}   (goal: at most 2.2)", "sealed message / raw", medians[5] / raw);
    }
}

fn zstd_raw(message: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(message, 1).unwrap()
}

/// What RFC 7748 asks for: a key pair and one agreement.
fn stanza_raw(to: &PublicKey) -> [u8; 32] {
    let mut scalar = [0; 32];
    getrandom::fill(&mut scalar).unwrap();
    let secret = StaticSecret::from(scalar);
    let share = Point::from(&secret);
    black_box(share);
    secret.diffie_hellman(&Point::from(*to.as_bytes())).to_bytes()
}

fn cipher_raw(plain: &[u8]) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new(&[7; 32].into());
    let mut out = plain.to_vec();
    for chunk in out.chunks_mut(64 * 1024) {
        black_box(cipher.encrypt_inout_detached(&Nonce::default(), b"", chunk.into()).unwrap());
    }
    out
}

fn base64_raw(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encodify::base64::MIME.encode_append(bytes, &mut out);
    out
}

/// The body as the sealed message holds it, without summary, signature and outer header.
fn body(message: &[u8], key: &PublicKey) -> Vec<u8> {
    let packed = Packer::new().unwrap().pack(message).unwrap();
    let mut file = Vec::new();
    age::encrypt(std::slice::from_ref(key), packed.expose(), &mut file).unwrap();
    base64_raw(&file)
}
