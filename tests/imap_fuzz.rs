//! The check of `tests/fuzz` for FETCH, for a while, without a fuzzer: the fixtures and what clients ask,
//! and what simple changes make of them, the same ones in each run.

mod answers;
mod seal_support;
#[path = "fuzz/checks/view.rs"]
mod view;

use seal_support::mail;

const ASKED: [&str; 8] = [
    "FULL",
    "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID)])",
    "(UID BODYSTRUCTURE ENVELOPE BODY.PEEK[1.MIME] BODY.PEEK[1]<0.40960>)",
    "(BODY.PEEK[HEADER.FIELDS.NOT (\"Received\")]<3.9> BODY[2.HEADER] BODY[2.1.TEXT])",
    "RFC822.PEEK",
    "(RFC822 RFC822.HEADER RFC822.TEXT MODSEQ SAVEDATE)",
    "BODY[1.2.3.4.5.HEADER.FIELDS ({4}\r)]",
    "(BODY[0] BODY[4294967295.1]<4294967295.4294967295> BODY[TEXT]<7.1>)",
];

/// Numbers that look random and are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (index, mail) in mail::all().iter().enumerate() {
        let asked = ASKED[index % ASKED.len()].as_bytes();
        seeds.push([asked, b"\n", &mail.bytes[..mail.bytes.len().min(4000)]].concat());
    }
    seeds
}

fn changed(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut text = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(8) {
        let at = numbers.below(text.len());
        let end = (at + numbers.below(60)).min(text.len());
        let to = numbers.below(text.len());
        match numbers.below(4) {
            0 => drop(text.drain(at..end)),
            1 if at < text.len() => {
                text[at] = b"\r\n\t ;:,=\"\\()<>@[].-*\0\x80a1"[numbers.below(24)]
            }
            2 => {
                let piece = text[at..end].to_vec();
                drop(text.splice(to..to, piece));
            }
            _ => {
                let other = &seeds[numbers.below(seeds.len())];
                let from = numbers.below(other.len());
                let piece = other[from..(from + 200).min(other.len())].to_vec();
                drop(text.splice(to..to, piece));
            }
        }
        text.truncate(8000);
    }
    text
}

#[test]
fn every_answer_is_well_formed_and_agrees() {
    let seeds = seeds();
    seeds.iter().for_each(|seed| view::check(seed));
    let mut numbers = Numbers(5);
    for _ in 0..20_000 {
        view::check(&changed(&seeds, &mut numbers));
    }
}
