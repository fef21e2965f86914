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
