//! How a program is answered for sealed messages: what the backend is asked first, what it is asked
//! besides, and what is left to be looked up in summaries and bodies.

use super::key::{Content, Key};
use super::mail::Mail;
use super::scan::Wanted;
use super::set::Set;

/// A program taken apart.
#[derive(Debug)]
pub(super) struct Plan {
    /// What holds for every message that may match, as far as the backend can tell.
    pub(super) narrowing: Key,
    /// What else the backend is asked.
    pub(super) leaves: Vec<Key>,
    /// What is looked for in bodies.
    pub(super) wanted: Vec<Wanted>,
    tree: Tree,
}

/// What must hold of a message for which the narrowing holds.
#[derive(Debug)]
enum Tree {
    Known(bool),
    Leaf(usize),
    Content(Content),
    /// By its place in `wanted`.
    Body(usize),
    Not(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
}

impl Plan {
    pub(super) fn new(root: &Key) -> Self {
        let narrowing = at_most(root).unwrap_or_else(|| Key::native("ALL"));
        let mut plan =
            Self { narrowing, leaves: Vec::new(), wanted: Vec::new(), tree: Tree::Known(true) };
        // What the program asks of the backend without conditions holds when the narrowing does.
        let rest = match root {
            Key::And(keys) => keys.iter().filter(|key| !key.is_native()).collect(),
            key if key.is_native() => Vec::new(),
            key => vec![key],
        };
        plan.tree = Tree::And(plan.trees(rest.into_iter()));
        plan
    }

    /// What is known of a message; `None` until it is opened.
    pub(super) fn truth(&self, number: u32, leaves: &[Set], mail: &Mail<'_>) -> Option<bool> {
        self.tree.truth(&self.wanted, number, leaves, mail)
    }

    fn tree(&mut self, key: &Key) -> Tree {
        match key {
            _ if key.is_native() => self.leaf(key.clone()),
            Key::Not(key) => Tree::Not(Box::new(self.tree(key))),
            Key::And(keys) => {
                let (native, rest): (Vec<&Key>, Vec<&Key>) =
                    keys.iter().partition(|key| key.is_native());
                let mut trees = Vec::new();
                if !native.is_empty() {
                    trees.push(self.leaf(Key::all(native.into_iter().cloned().collect())));
                }
                trees.extend(self.trees(rest.into_iter()));
                Tree::And(trees)
            }
            Key::Or(keys) => {
                let (native, rest): (Vec<&Key>, Vec<&Key>) =
                    keys.iter().partition(|key| key.is_native());
                let mut trees = Vec::new();
                if !native.is_empty() {
                    trees.push(self.leaf(Key::any(native.into_iter().cloned().collect())));
                }
                trees.extend(self.trees(rest.into_iter()));
                Tree::Or(trees)
            }
            Key::Content(Content::Body(needle)) => {
                self.body(Wanted { needle: needle.clone(), in_headers: false })
            }
            Key::Content(Content::Text(needle)) => {
                self.body(Wanted { needle: needle.clone(), in_headers: true })
            }
            Key::Content(content) => Tree::Content(content.clone()),
            Key::Native(_) => self.leaf(key.clone()),
        }
    }

    /// What costs least comes first.
    fn trees<'k>(&mut self, keys: impl Iterator<Item = &'k Key>) -> Vec<Tree> {
        let mut trees: Vec<Tree> = keys.map(|key| self.tree(key)).collect();
        trees.sort_by_key(Tree::cost);
        trees
    }

    fn leaf(&mut self, key: Key) -> Tree {
        if key == self.narrowing || key == Key::native("ALL") {
            return Tree::Known(true);
        }
        Tree::Leaf(place(&mut self.leaves, key))
    }

    fn body(&mut self, wanted: Wanted) -> Tree {
        Tree::Body(place(&mut self.wanted, wanted))
    }
}

/// Where `item` is in `list`, to which it is added where it is not.
fn place<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

impl Tree {
    fn cost(&self) -> u8 {
        match self {
            Self::Known(_) | Self::Leaf(_) => 0,
            Self::Content(Content::Larger(_) | Content::Smaller(_)) => 1,
            Self::Content(_) => 2,
            Self::Body(_) => 3,
            Self::Not(tree) => tree.cost(),
            Self::And(trees) | Self::Or(trees) => {
                trees.iter().map(Self::cost).max().unwrap_or_default()
            }
        }
    }

    /// How deep it goes is bounded by who read the program.
    fn truth(
        &self,
        wanted: &[Wanted],
        number: u32,
        leaves: &[Set],
        mail: &Mail<'_>,
    ) -> Option<bool> {
        let of = |tree: &Self| tree.truth(wanted, number, leaves, mail);
        match self {
            Self::Known(known) => Some(*known),
            Self::Leaf(at) => Some(leaves.get(*at).is_some_and(|set| set.contains(number))),
            Self::Content(content) => mail.holds(content),
            Self::Body(at) => mail.body_holds(wanted, *at),
            Self::Not(tree) => of(tree).map(|truth| !truth),
            Self::And(trees) => unless(trees, false, of),
            Self::Or(trees) => unless(trees, true, of),
        }
    }
}

/// `decisive` where one of them is, else what is not known where one is not (Kleene's logic).
fn unless(trees: &[Tree], decisive: bool, of: impl Fn(&Tree) -> Option<bool>) -> Option<bool> {
    let mut all_known = Some(!decisive);
    for tree in trees {
        match of(tree) {
            Some(truth) if truth == decisive => return Some(decisive),
            Some(_) => {}
            None => all_known = None,
        }
    }
    all_known
}

/// A native key that holds wherever `key` does; `None` where only ALL does.
fn at_most(key: &Key) -> Option<Key> {
    match key {
        _ if key.is_native() => Some(key.clone()),
        Key::Not(key) => at_least(key).map(|key| Key::Not(Box::new(key))),
        Key::And(keys) => some(keys.iter().filter_map(at_most).collect()).map(Key::all),
        Key::Or(keys) => keys.iter().map(at_most).collect::<Option<Vec<Key>>>().map(Key::any),
        Key::Content(_) | Key::Native(_) => None,
    }
}

/// A native key that holds only where `key` does; `None` where that may be nowhere.
fn at_least(key: &Key) -> Option<Key> {
    match key {
        _ if key.is_native() => Some(key.clone()),
        Key::Not(key) => at_most(key).map(|key| Key::Not(Box::new(key))),
        Key::And(keys) => keys.iter().map(at_least).collect::<Option<Vec<Key>>>().map(Key::all),
        Key::Or(keys) => some(keys.iter().filter_map(at_least).collect()).map(Key::any),
        Key::Content(_) | Key::Native(_) => None,
    }
}

fn some(keys: Vec<Key>) -> Option<Vec<Key>> {
    Some(keys).filter(|keys| !keys.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::{Manner, Program};
    use super::*;
    use proptest::prelude::*;

    fn asked(program: &str) -> (String, Vec<String>) {
        let program = Program::parse(program.as_bytes(), Manner::Dovecot).unwrap();
        (program.narrowing(), program.leaves().collect())
    }

    #[test]
    fn the_backend_is_asked_as_little_as_will_do() {
        for (program, narrowing, leaves) in [
            ("FROM a", "ALL", &[][..]),
            ("UNSEEN FROM a SINCE 1-Feb-1994", "UNSEEN SINCE 1-Feb-1994", &[]),
            ("UNSEEN OR FROM a TO a", "UNSEEN", &[]),
            ("OR UNSEEN FROM a", "ALL", &["UNSEEN"]),
            ("OR (UNSEEN FROM a) (UNSEEN TO b)", "UNSEEN", &[]),
            ("OR (UNSEEN FROM a) (FLAGGED TO b)", "OR UNSEEN FLAGGED", &["UNSEEN", "FLAGGED"]),
            ("NOT (UNSEEN FROM a)", "ALL", &["UNSEEN"]),
            ("NOT OR UNSEEN FROM a", "NOT UNSEEN", &["UNSEEN"]),
            ("DRAFT OR (UNSEEN UID 1:5) FROM a", "DRAFT", &["UNSEEN UID 1:5"]),
            ("OR UNSEEN OR FROM a DRAFT", "ALL", &["OR UNSEEN DRAFT"]),
            ("1:5 NOT DELETED BODY x", "1:5 NOT DELETED", &[]),
        ] {
            let expected = (narrowing.to_owned(), leaves.iter().map(ToString::to_string).collect());
            assert_eq!(asked(program), expected, "{program}");
        }
        let native = Program::parse(b"OR UNSEEN NOT (DRAFT 1:5)", Manner::Dovecot).unwrap();
        assert!(native.is_native() && !native.needs_body());
    }

    const NATIVE: [&str; 4] = ["SEEN", "DRAFT", "FLAGGED", "UID 1:5"];
    const CONTENT: [&str; 5] = ["SUBJECT s", "BODY b", "TEXT s", "LARGER 60", "SENTON 3-Nov-2026"];

    /// A program of some of these keys.
    fn program() -> impl Strategy<Value = Key> {
        let native = proptest::sample::select(&NATIVE[..]);
        let content = proptest::sample::select(&CONTENT[..]);
        let leaf = prop_oneof![native, content].prop_map(|text| {
            let parsed = super::super::parse::parse(text.as_bytes(), Manner::Dovecot);
            parsed.unwrap().root
        });
        leaf.prop_recursive(5, 24, 3, |inner| {
            let keys = proptest::collection::vec(inner.clone(), 1..4);
            prop_oneof![
                inner.prop_map(|key| Key::Not(Box::new(key))),
                keys.clone().prop_map(Key::all),
                keys.prop_map(Key::any),
            ]
        })
    }

    /// What a server would say that had the message itself.
    fn holds(key: &Key, facts: &dyn Fn(&Key) -> bool) -> bool {
        match key {
            Key::Not(key) => !holds(key, facts),
            Key::And(keys) => keys.iter().all(|key| holds(key, facts)),
            Key::Or(keys) => keys.iter().any(|key| holds(key, facts)),
            leaf => facts(leaf),
        }
    }

    proptest! {
        #[test]
        fn the_same_as_a_server_that_has_the_message(
            root in program(),
            native in any::<[bool; 4]>(),
            [has_subject, has_body, is_large, is_of_the_day] in any::<[bool; 4]>(),
        ) {
            let header = format!(
                "Subject: {}\r\nDate: {} Nov 2026 10:00:00 +0000\r\n\r\n",
                if has_subject { "s" } else { "-" }, if is_of_the_day { 3 } else { 4 },
            ).replace("Subject", "subJect");
            let filling = if is_large { "-".repeat(60) } else { String::new() };
            let message = format!("{header}{}{filling}", if has_body { "b" } else { "-" });
            // TEXT finds the name of the field, too.
            let content = [has_subject, has_body, true, message.len() > 60, is_of_the_day];
            let facts = |key: &Key| {
                let text = super::super::plain(key);
                let at = |keys: &[&str]| keys.iter().position(|known| text.replace('"', "") == *known);
                match (at(&NATIVE), at(&CONTENT)) {
                    (Some(at), _) => native[at],
                    (_, Some(at)) => content[at],
                    _ => panic!("{text}"),
                }
            };
            let expected = holds(&root, &facts);
            let plan = Plan::new(&root);
            if !holds(&plan.narrowing, &facts_or_all(&facts)) {
                prop_assert!(!expected, "narrowed too much");
                return Ok(());
            }
            let leaves: Vec<Set> = plan.leaves.iter()
                .map(|leaf| holds(leaf, &facts_or_all(&facts)).then_some(7).into_iter().collect())
                .collect();
            let listed = Mail::of_header(header.as_bytes(), &[], message.len() as u64);
            let known = plan.truth(7, &leaves, &listed);
            prop_assert!(known.is_none_or(|known| known == expected));
            prop_assert!(known.is_some() || !plan.wanted.is_empty());
            let opened = Mail::opened(message.as_bytes());
            prop_assert_eq!(plan.truth(7, &leaves, &opened), Some(expected));
        }
    }

    fn facts_or_all(facts: &dyn Fn(&Key) -> bool) -> impl Fn(&Key) -> bool {
        move |key| *key == Key::native("ALL") || facts(key)
    }
}
