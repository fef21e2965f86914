//! What a client is answered: SEARCH (RFC 3501 §7.2.5), or ESEARCH where it said what to return
//! (RFC 4731 §3), each with the highest mod-sequence where one was asked about (RFC 7162 §3.1.5).

use super::set::Set;

/// What an ESEARCH response tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Returns {
    pub(super) min: bool,
    pub(super) max: bool,
    pub(super) all: bool,
    pub(super) count: bool,
}

/// A message that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Its number, or its UID for UID SEARCH.
    pub number: u32,
    /// Its mod-sequence; 0 where nobody asked about it.
    pub modseq: u64,
}

impl Returns {
    /// The highest mod-sequence of the messages that the response tells of (RFC 7162 §3.1.10).
    fn modseq(self, hits: &[Hit], set: &Set) -> Option<u64> {
        let only_ends = (self.min || self.max) && !self.all && !self.count;
        let is_told = |hit: &&Hit| {
            let number = Some(hit.number);
            !only_ends || self.min && number == set.first() || self.max && number == set.last()
        };
        hits.iter().filter(is_told).map(|hit| hit.modseq).max()
    }
}

/// The untagged response without its line end. `returns` is `None` for a plain SEARCH.
pub(super) fn write(
    returns: Option<Returns>,
    asks_modseq: bool,
    tag: &str,
    is_uid: bool,
    hits: &[Hit],
) -> Vec<u8> {
    let set: Set = hits.iter().map(|hit| hit.number).collect();
    let Some(returns) = returns else {
        return plain(asks_modseq, hits, &set).into_bytes();
    };
    let escaped = tag.replace('\\', "\\\\").replace('"', "\\\"");
    let mut line = format!("* ESEARCH (TAG \"{escaped}\")");
    if is_uid {
        line += " UID";
    }
    if let (true, Some(first)) = (returns.min, set.first()) {
        line += &format!(" MIN {first}");
    }
    if let (true, Some(last)) = (returns.max, set.last()) {
        line += &format!(" MAX {last}");
    }
    if returns.all && !set.is_empty() {
        line += &format!(" ALL {}", set.to_text());
    }
    if returns.count {
        line += &format!(" COUNT {}", set.count());
    }
    if let (true, Some(highest)) = (asks_modseq, returns.modseq(hits, &set)) {
        line += &format!(" MODSEQ {highest}");
    }
    line.into_bytes()
}

fn plain(asks_modseq: bool, hits: &[Hit], set: &Set) -> String {
    let mut line = "* SEARCH".to_owned();
    for number in set.iter() {
        line.push(' ');
        line += &number.to_string();
    }
    let highest = hits.iter().map(|hit| hit.modseq).max();
    match highest {
        Some(highest) if asks_modseq => line + &format!(" (MODSEQ {highest})"),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Manner, Program};
    use super::*;

    fn answer(program: &str, is_uid: bool, numbers: &[u32]) -> String {
        let hits = numbers.iter().map(|&number| Hit { number, modseq: 100 - u64::from(number) });
        let program = Program::parse(program.as_bytes(), Manner::Dovecot).unwrap();
        let hits: Vec<Hit> = hits.collect();
        String::from_utf8(program.answer("a\"1", is_uid, &hits)).unwrap()
    }

    #[test]
    fn plain_search() {
        assert_eq!(answer("BODY x", true, &[]), "* SEARCH");
        assert_eq!(answer("BODY x", false, &[9, 2, 3]), "* SEARCH 2 3 9");
        assert_eq!(answer("BODY x MODSEQ 1", true, &[9, 2, 3]), "* SEARCH 2 3 9 (MODSEQ 98)");
        assert_eq!(answer("BODY x MODSEQ 1", true, &[]), "* SEARCH");
    }

    #[test]
    fn extended_search() {
        for (program, is_uid, numbers, said) in [
            ("RETURN () TEXT x", false, &[9, 2, 3, 4][..], " ALL 2:4,9"),
            ("RETURN () TEXT x", true, &[], " UID"),
            (
                "RETURN (MIN MAX ALL COUNT) TEXT x",
                true,
                &[2, 3],
                " UID MIN 2 MAX 3 ALL 2:3 COUNT 2",
            ),
            ("RETURN (MIN MAX ALL COUNT) TEXT x", false, &[], " COUNT 0"),
            ("RETURN (MIN) MODSEQ 1", false, &[5, 7, 9], " MIN 5 MODSEQ 95"),
            ("RETURN (MAX) MODSEQ 1", false, &[5, 7, 9], " MAX 9 MODSEQ 91"),
            ("RETURN (MIN MAX) MODSEQ 1", false, &[5, 7, 9], " MIN 5 MAX 9 MODSEQ 95"),
            ("RETURN (MAX COUNT) MODSEQ 1", false, &[5, 7, 9], " MAX 9 COUNT 3 MODSEQ 95"),
            ("RETURN (ALL) MODSEQ 1", false, &[], ""),
        ] {
            let expected = format!("* ESEARCH (TAG \"a\\\"1\"){said}");
            assert_eq!(answer(program, is_uid, numbers), expected, "{program}");
        }
    }
}
