//! The key record read by the letter of `src/manual/record.rs`, with the primitives alone: whoever has
//! the file, the secrets and that page needs nothing else of nightsafe.

mod support;

use std::fs;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use encodify::base64::STANDARD;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use nightsafe::age::{SecretKey, Stanza};
use nightsafe::secret::Secret;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::Site;

const PASSWORD: &[u8] = b"pw";

fn derive(key: &[u8], purpose: &str) -> [u8; 32] {
    let mut derived = [0; 32];
    let info = format!("nightsafe-record/1 {purpose}");
    Hkdf::<Sha256>::new(None, key).expand(info.as_bytes(), &mut derived).unwrap();
    derived
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn open(key: &[u8; 32], item: &str, public: &Value, sealed: &Value) -> Option<Vec<u8>> {
    let sealed = bytes(sealed);
    let (nonce, text) = sealed.split_first_chunk::<24>().unwrap();
    let place = format!("nightsafe-record/1\nalice\n{item}\n{}", public.as_str().unwrap());
    let payload = Payload { msg: text, aad: place.as_bytes() };
    XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(*nonce), payload).ok()
}

fn key(scalar: [u8; 32]) -> SecretKey {
    SecretKey::from_scalar_bytes(Secret::copy_of(&scalar).unwrap())
}

/// The root key, and what follows it.
fn root(slot: &Value, key: &SecretKey) -> (Vec<u8>, Vec<u8>) {
    assert_eq!(key.public_key().to_string(), slot["public"].as_str().unwrap());
    let stanza = Stanza::parse(slot["stanza"].as_str().unwrap()).unwrap();
    let content = key.unwrap_stanza(&stanza).unwrap().unwrap();
    let wrapping = derive(content.expose(), "root key");
    let payload = open(&wrapping, slot["id"].as_str().unwrap(), &slot["public"], &slot["root"]);
    let mut root = payload.unwrap();
    let rest = root.split_off(32);
    (root, rest)
}

fn slot_key(slot: &Value, derived: &[u8]) -> SecretKey {
    key(derive(derived, &format!("slot key\nalice\n{}", slot["id"].as_str().unwrap())))
}

fn by_password(slot: &Value, pepper: &[u8]) -> SecretKey {
    let kdf = &slot["kdf"]["argon2id"];
    let number = |name: &str| u32::try_from(kdf[name].as_u64().unwrap()).unwrap();
    let params = Params::new(number("memory_kib"), number("passes"), number("lanes"), None);
    let argon2 =
        Argon2::new_with_secret(pepper, Algorithm::Argon2id, Version::V0x13, params.unwrap());
    let mut derived = [0; 32];
    argon2.unwrap().hash_password_into(PASSWORD, &bytes(&kdf["salt"]), &mut derived).unwrap();
    slot_key(slot, &derived)
}

fn by_code(slot: &Value, code: &str, kind: &str, random: usize) -> SecretKey {
    let symbols = code.strip_prefix(kind).unwrap().replace('-', "");
    let alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
    let bits: String =
        symbols.chars().map(|c| format!("{:05b}", alphabet.find(c).unwrap())).collect();
    let octets: Vec<u8> = (0..bits.len() / 8)
        .map(|at| u8::from_str_radix(&bits[8 * at..8 * at + 8], 2).unwrap())
        .collect();
    let (secret, checksum) = octets.split_at(random);
    let digest = |purpose: &str| {
        let text = format!("nightsafe/v1 {kind} code {purpose}\n");
        Sha256::digest([text.as_bytes(), secret].concat()).to_vec()
    };
    assert_eq!(digest("checksum")[..checksum.len()], *checksum);
    let id: String = digest("slot")[..8].iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(id, slot["id"].as_str().unwrap());
    let salt = bytes(&slot["kdf"]["hkdf"]["salt"]);
    let (prk, _) = Hkdf::<Sha256>::extract(Some(&salt), secret);
    slot_key(slot, &prk)
}

/// JSON without the white space around its tokens.
fn compact(json: &str) -> String {
    let (mut text, mut inside, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if inside || !c.is_ascii_whitespace() {
            text.push(c);
        }
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = c == '\\' && !escaped;
    }
    text
}

#[test]
fn each_slot_gives_the_same_keys() {
    let site = Site::new();
    let escrow = SecretKey::generate();
    let recovery = site.file("recovery.pub", escrow.public_key().to_string().as_bytes());
    site.configure(&format!("recovery_key = {recovery:?}"), "");
    let care = |arguments: &[&str]| {
        let arguments = arguments.iter().chain(&["--password-file", "-"]);
        let text = site.feed(arguments, PASSWORD).good().text();
        text.lines().last().unwrap().to_owned()
    };
    let code = care(&["enroll", "alice", "--recovery-code"]);
    let app = care(&["slot", "add", "alice", "--app", "my  \"phone\""]);
    care(&["rotate", "alice"]);
    site.run(["enroll", "--provisional", "bob"]).good();

    let text = fs::read_to_string(site.private("alice")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let record = &json["record"];
    let slots = record["slots"].as_array().unwrap();
    let kinds: Vec<_> = slots.iter().map(|slot| slot["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["password", "recovery", "escrow", "app"]);
    let pepper = fs::read_to_string(site.join("pepper")).unwrap();
    let words: Vec<_> = pepper.split_whitespace().collect();
    assert_eq!(words[1], slots[0]["kdf"]["argon2id"]["pepper"].as_str().unwrap());
    let pepper = STANDARD.decode(words[2]).unwrap();

    let keys = [
        by_password(&slots[0], &pepper),
        by_code(&slots[1], &code, "recovery", 20),
        escrow,
        by_code(&slots[3], &app, "app", 16),
    ];
    let roots: Vec<_> = slots.iter().zip(&keys).map(|(slot, key)| root(slot, key)).collect();
    let names: Vec<_> = roots.iter().map(|(_, name)| name.as_slice()).collect();
    assert_eq!(names, [&b""[..], b"", b"alice", b""]);
    assert!(roots.iter().all(|(root, _)| *root == roots[0].0));
    let root_key = &roots[0].0;

    // The private keys are those that `identity` prints.
    let printed = care_identity(&site);
    let sealing = derive(root_key, "private keys");
    let opened = record["keys"].as_array().unwrap().iter().map(|sealed| {
        let item = format!("key {}", sealed["generation"]);
        let scalar = open(&sealing, &item, &sealed["public"], &sealed["sealed"]).unwrap();
        let key = key(scalar.try_into().unwrap());
        String::from_utf8(key.to_bech32().expose().to_vec()).unwrap()
    });
    assert_eq!(opened.collect::<Vec<_>>(), printed);

    // The MAC is of the text of `record`.
    let compact = compact(&text);
    let body = compact.strip_prefix("{\"record\":").unwrap();
    let body = &body[..body.rfind(",\"mac\":").unwrap()];
    let mut mac = Hmac::<Sha256>::new_from_slice(&derive(root_key, "record mac")).unwrap();
    mac.update(body.as_bytes());
    mac.verify_slice(&bytes(&json["mac"])).unwrap();

    let public = fs::read_to_string(site.public("alice")).unwrap();
    let version = record["version"].as_u64().unwrap();
    let newest = record["keys"][0]["public"].as_str().unwrap();
    let comment = format!("# nightsafe public key of alice, generation 2, record {version}");
    assert_eq!(public, format!("{comment}\n{newest}\n"));

    // A provisional slot opens with the key in the site's file.
    let file = fs::read_to_string(site.join("provisional.key")).unwrap();
    let line = file.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    let bob = fs::read_to_string(site.private("bob")).unwrap();
    let bob: Value = serde_json::from_str(&bob).unwrap();
    let slot = &bob["record"]["slots"][0];
    assert_eq!(
        (slot["kind"].as_str(), slot["kdf"].as_str()),
        (Some("provisional"), Some("site-key"))
    );
    let key = SecretKey::parse(line).unwrap();
    assert_eq!(key.public_key().to_string(), slot["public"].as_str().unwrap());
}

fn care_identity(site: &Site) -> Vec<String> {
    let text = site.identity("alice", PASSWORD).good().text();
    let lines = text.lines().filter(|line| line.starts_with("AGE-SECRET-KEY-1"));
    lines.map(str::to_owned).collect()
}
