//! What is written comes back, in whatever pieces; what is altered or cut never comes back as something
//! else.

use nightsafe::age::{
    CHUNK_LEN, Decryptor, Encryptor, Error, HeaderError, MAX_STANZAS, PayloadError, PublicKey,
    SecretKey, WrapError, decrypt, encrypt,
};
use nightsafe::secret::SecretBytes;
use proptest::prelude::*;

fn sealed(key: &SecretKey, plaintext: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    encrypt(&[key.public_key()], plaintext, &mut file).unwrap();
    file
}

fn opened(key: &SecretKey, file: &[u8]) -> Result<SecretBytes, Error> {
    decrypt(std::slice::from_ref(key), file)
}

#[test]
fn a_file_with_any_byte_flipped_is_an_error() {
    let key = SecretKey::generate();
    let file = sealed(&key, b"a small message");
    for at in 0..file.len() {
        for mask in [0x01, 0x20, 0x80, 0xff] {
            let mut altered = file.clone();
            altered[at] ^= mask;
            assert!(opened(&key, &altered).is_err(), "byte {at} ^ {mask:#x}");
        }
    }
    assert_eq!(opened(&key, &file).unwrap().expose(), b"a small message");
}

#[test]
fn a_file_cut_or_extended_anywhere_is_an_error() {
    let key = SecretKey::generate();
    let file = sealed(&key, b"a small message");
    for len in 0..file.len() {
        assert!(opened(&key, &file[..len]).is_err(), "{len} bytes");
    }
    let longer = [file.as_slice(), b"\n"].concat();
    let error = Error::Payload(PayloadError::Altered);
    assert_eq!(opened(&key, &longer).err(), Some(error));
}

#[test]
fn a_file_cut_at_a_chunk_is_an_error_after_what_is_authentic() {
    let key = SecretKey::generate();
    let message: Vec<u8> = (0..=255).cycle().take(3 * CHUNK_LEN).collect();
    let file = sealed(&key, &message);
    let chunks_at = file.len() - 3 * (CHUNK_LEN + 16);
    for chunks in 0..3 {
        let cut = &file[..chunks_at + chunks * (CHUNK_LEN + 16)];
        let mut plaintext = SecretBytes::default();
        let mut decryptor = Decryptor::new(std::slice::from_ref(&key));
        decryptor.push(cut, &mut plaintext).unwrap();
        let error = Err(Error::Payload(PayloadError::Truncated));
        assert_eq!(decryptor.finish(&mut plaintext), error);
        let authentic = &message[..chunks * CHUNK_LEN];
        assert!(plaintext.expose() == authentic, "{chunks} chunks");
    }
}

#[test]
fn an_error_stays() {
    let key = SecretKey::generate();
    let mut plaintext = SecretBytes::default();
    let mut decryptor = Decryptor::new(std::slice::from_ref(&key));
    let error = Err(Error::Header(HeaderError::NotAge));
    assert_eq!(decryptor.push(b"no", &mut plaintext), error);
    let good = sealed(&key, b"message");
    assert_eq!(decryptor.push(&good, &mut plaintext), error);
    assert_eq!(decryptor.finish(&mut plaintext), error);
    assert!(plaintext.is_empty());
}

#[test]
fn what_waits_is_never_in_the_output() {
    let key = SecretKey::generate();
    let mut file = Vec::new();
    let mut encryptor = Encryptor::new(&[key.public_key()], &mut file).unwrap();
    let header_len = file.len();
    let message = vec![b'x'; CHUNK_LEN];
    encryptor.push(&message, &mut file);
    assert_eq!(file.len(), header_len, "a full chunk may be the last");
    encryptor.push(b"y", &mut file);
    assert_eq!(file.len(), header_len + CHUNK_LEN + 16);
    encryptor.finish(&mut file);
    assert_eq!(file.len(), header_len + CHUNK_LEN + 16 + 17);
    assert!(!file.windows(8).any(|bytes| bytes == b"xxxxxxxx"));
}

#[test]
fn the_output_is_appended_to() {
    let key = SecretKey::generate();
    let mut out = b"before".to_vec();
    encrypt(&[key.public_key()], b"message", &mut out).unwrap();
    let file = out.strip_prefix(b"before").unwrap();
    assert_eq!(opened(&key, file).unwrap().expose(), b"message");
}

#[test]
fn recipients_that_are_no_good_leave_the_output_alone() {
    let good = SecretKey::generate().public_key();
    let low_order = PublicKey::from_bytes([0; 32]);
    for (recipients, error) in [
        (vec![], WrapError::NoRecipient),
        (vec![good; MAX_STANZAS + 1], WrapError::TooManyRecipients),
        (vec![good, low_order], WrapError::LowOrder),
    ] {
        let mut out = b"before".to_vec();
        assert_eq!(encrypt(&recipients, b"message", &mut out), Err(error));
        assert_eq!(out, b"before");
    }
}

#[test]
fn the_most_recipients_and_the_wrong_key() {
    let keys: Vec<_> = std::iter::repeat_with(SecretKey::generate).take(MAX_STANZAS).collect();
    let recipients: Vec<_> = keys.iter().map(SecretKey::public_key).collect();
    let mut file = Vec::new();
    encrypt(&recipients, b"message", &mut file).unwrap();
    let last = keys.last().unwrap();
    assert_eq!(opened(last, &file).unwrap().expose(), b"message");
    let stranger = SecretKey::generate();
    assert_eq!(opened(&stranger, &file).err(), Some(Error::NoMatch));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_message_comes_back_in_any_pieces(
        seed: u8,
        len in prop_oneof![0..300_usize, CHUNK_LEN - 3..CHUNK_LEN + 3, 2 * CHUNK_LEN - 3..3 * CHUNK_LEN],
        pieces_in in prop::collection::vec(0..CHUNK_LEN + 40, 1..5),
        pieces_out in prop::collection::vec(0..CHUNK_LEN + 40, 1..5),
    ) {
        let key = SecretKey::generate();
        let message: Vec<u8> = (0..251).cycle().skip(usize::from(seed)).take(len).collect();
        let mut file = Vec::new();
        let mut encryptor = Encryptor::new(&[key.public_key()], &mut file).unwrap();
        let mut rest = message.as_slice();
        for piece_len in pieces_in {
            let (piece, after) = rest.split_at(piece_len.min(rest.len()));
            encryptor.push(piece, &mut file);
            rest = after;
        }
        encryptor.finish_with(rest, &mut file);

        let mut plaintext = SecretBytes::default();
        let mut decryptor = Decryptor::new(std::slice::from_ref(&key));
        let mut rest = file.as_slice();
        for piece_len in pieces_out {
            let (piece, after) = rest.split_at(piece_len.min(rest.len()));
            decryptor.push(piece, &mut plaintext).unwrap();
            rest = after;
        }
        decryptor.push(rest, &mut plaintext).unwrap();
        decryptor.finish(&mut plaintext).unwrap();
        prop_assert!(plaintext.expose() == message);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let key = SecretKey::generate();
        prop_assert!(opened(&key, &bytes).is_err());
        let with_version = [b"age-encryption.org/v1\n-> ".as_slice(), &bytes].concat();
        prop_assert!(opened(&key, &with_version).is_err());
    }
}
