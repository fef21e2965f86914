//! Sets of message numbers or UIDs (RFC 3501 §9 `sequence-set`): what a search has found.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::super::token::{Cursor, Malformed};

/// Numbers in their order, kept as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// Ascending, with a gap between each two.
    ranges: Vec<RangeInclusive<u32>>,
}

impl Set {
    /// Reads what a server writes: `1:5,7`, ranges in any order, no `*`.
    ///
    /// # Errors
    /// Where it is written otherwise.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut at = Cursor::new(text);
        let mut ranges = Vec::new();
        loop {
            let first = number(&mut at)?;
            let last = if at.eat(b':') { number(&mut at)? } else { first };
            ranges.push(first.min(last)..=first.max(last));
            if at.is_at_end() {
                break;
            }
            at.expect(b',')?;
        }
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.push(range));
        Ok(set)
    }

    /// Appends a range that starts no earlier than all that are there.
    fn push(&mut self, range: RangeInclusive<u32>) {
        match self.ranges.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => self.ranges.push(range),
        }
    }

    /// Whether `number` is one of them.
    pub fn contains(&self, number: u32) -> bool {
        let behind = self.ranges.partition_point(|range| *range.end() < number);
        self.ranges.get(behind).is_some_and(|range| range.contains(&number))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many they are.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum()
    }

    /// Each of them in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().cloned().flatten()
    }

    /// The lowest.
    pub fn first(&self) -> Option<u32> {
        self.ranges.first().map(|range| *range.start())
    }

    /// The highest.
    pub fn last(&self) -> Option<u32> {
        self.ranges.last().map(|range| *range.end())
    }

    /// In its shortest form: `1:5,7`. Empty where there are none, which no command can say.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for range in &self.ranges {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = match (range.start(), range.end()) {
                (first, last) if first == last => write!(text, "{comma}{first}"),
                (first, last) => write!(text, "{comma}{first}:{last}"),
            };
        }
        text
    }
}

impl FromIterator<u32> for Set {
    /// Numbers in any order.
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut numbers: Vec<u32> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.push(number..=number));
        set
    }
}

/// A number that is not 0 (RFC 3501 §9 `nz-number`).
fn number(at: &mut Cursor<'_>) -> Result<u32, Malformed> {
    u32::try_from(at.number()?).ok().filter(|number| *number > 0).ok_or(Malformed)
}

/// Whether `text` is a set as a client writes one: numbers that are not 0, or `*` for the last.
pub(super) fn is_set(text: &[u8]) -> bool {
    let is_number = |text: &[u8]| text == b"*" || number_alone(text);
    text.split(|byte| *byte == b',').all(|range| {
        let mut ends = range.split(|byte| *byte == b':');
        ends.clone().count() <= 2 && ends.all(is_number)
    })
}

fn number_alone(text: &[u8]) -> bool {
    let mut at = Cursor::new(text);
    number(&mut at).is_ok() && at.is_at_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn written_in_the_shortest_form() {
        let set: Set = [7, 3, 2, 1, 9, 8, 20].into_iter().collect();
        assert_eq!(set.to_text(), "1:3,7:9,20");
        assert_eq!((set.count(), set.first(), set.last()), (7, Some(1), Some(20)));
        assert_eq!(Set::default().to_text(), "");
        let highest: Set = [u32::MAX, u32::MAX - 1].into_iter().collect();
        assert_eq!(highest.to_text(), "4294967294:4294967295");
        assert_eq!(highest.iter().count(), 2);
    }

    #[test]
    fn what_is_no_set() {
        for text in ["", "0", "1,", ",1", "1:2:3", "a", "1:", "4294967296", "1 2"] {
            assert!(Set::parse(text.as_bytes()).is_err(), "{text}");
            assert!(!is_set(text.as_bytes()), "{text}");
        }
        assert!(is_set(b"1:*,7,*:3") && Set::parse(b"1:*").is_err());
        assert_eq!(Set::parse(b"9:7,1,2,8:10").unwrap().to_text(), "1:2,7:10");
    }

    proptest! {
        #[test]
        fn holds_what_went_in(numbers in proptest::collection::vec(1_u32..80, 0..60)) {
            let set: Set = numbers.iter().copied().collect();
            for number in 1..80 {
                prop_assert_eq!(set.contains(number), numbers.contains(&number));
            }
            if !set.is_empty() {
                prop_assert_eq!(Set::parse(set.to_text().as_bytes()), Ok(set.clone()));
            }
            prop_assert_eq!(set.iter().count() as u64, set.count());
        }
    }
}
