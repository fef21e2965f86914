//! The stock `age` and `age-keygen` read what we write, and we read what they write.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nightsafe::age::{Encryptor, SecretKey, decrypt, encrypt};

const SIZES: [usize; 8] = [0, 1, 65_535, 65_536, 65_537, 131_072, 131_073, 1 << 20];

/// Runs a program that must be there and must succeed; what it writes.
fn run(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("this test needs the program {program:?} (Debian package age): {error}")
        });
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {complaint}");
    output.stdout
}

/// A key that `age-keygen` made, and the file it is in.
fn stock_key(folder: &Path, name: &str) -> (SecretKey, PathBuf) {
    let text = String::from_utf8(run("age-keygen", &[], b"")).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, &text).unwrap();
    (SecretKey::parse(text.lines().last().unwrap()).unwrap(), path)
}

/// Bytes that no two chunks share.
fn message(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(len)
    .collect()
}

#[test]
fn age_reads_what_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let (key, path) = stock_key(folder.path(), "key");
    let path = path.to_str().unwrap();
    for len in SIZES {
        let message = message(len);
        let mut file = Vec::new();
        encrypt(&[key.public_key()], &message, &mut file).unwrap();
        assert!(run("age", &["-d", "-i", path], &file) == message, "{len} bytes");

        let mut file = Vec::new();
        let mut encryptor = Encryptor::new(&[key.public_key()], &mut file).unwrap();
        for piece in message.chunks(4_099) {
            encryptor.push(piece, &mut file);
        }
        encryptor.finish(&mut file);
        assert!(run("age", &["-d", "-i", path], &file) == message, "{len} bytes in pieces");
    }
}

#[test]
fn we_read_what_age_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = stock_key(folder.path(), "key");
    let recipient = key.public_key().to_string();
    for len in SIZES {
        let message = message(len);
        let file = run("age", &["-r", &recipient], &message);
        let plaintext = decrypt(std::slice::from_ref(&key), &file).unwrap();
        assert!(plaintext.expose() == message, "{len} bytes");
    }
}

#[test]
fn our_keys_are_keys_to_age() {
    let folder = tempfile::tempdir().unwrap();
    let key = SecretKey::generate();
    let path = folder.path().join("key");
    std::fs::write(&path, key.to_bech32().expose()).unwrap();
    let path = path.to_str().unwrap();
    let public = run("age-keygen", &["-y", path], b"");
    assert_eq!(String::from_utf8(public).unwrap().trim_end(), key.public_key().to_string());
    let file = run("age", &["-e", "-i", path], b"hello");
    let plaintext = decrypt(std::slice::from_ref(&key), &file).unwrap();
    assert_eq!(plaintext.expose(), b"hello");
}

#[test]
fn each_of_several_recipients_reads() {
    let folder = tempfile::tempdir().unwrap();
    let keys: Vec<_> = ["a", "b", "c"].map(|name| stock_key(folder.path(), name)).into();
    let recipients: Vec<_> = keys.iter().map(|(key, _)| key.public_key()).collect();
    let list = folder.path().join("recipients");
    let lines: String = recipients.iter().map(|key| format!("{key}\n")).collect();
    std::fs::write(&list, lines).unwrap();

    let mut ours = Vec::new();
    encrypt(&recipients, b"to all three", &mut ours).unwrap();
    let theirs = run("age", &["-R", list.to_str().unwrap()], b"to all three");
    for (key, path) in &keys {
        let path = path.to_str().unwrap();
        assert_eq!(run("age", &["-d", "-i", path], &ours), b"to all three");
        let plaintext = decrypt(std::slice::from_ref(key), &theirs).unwrap();
        assert_eq!(plaintext.expose(), b"to all three");
    }
}
