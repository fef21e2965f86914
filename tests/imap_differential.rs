//! One corpus, one script: directly at the store as alice, through the proxy as bob. Every answer is the
//! same but for what `differential::allowed` lists with its reason.

mod differential;
mod seal_support;
mod site;
mod support;

use differential::allowed::{ALLOWED, Kind, left_over};
use differential::compare::{Pair, Side};
use differential::corpus::{self, Letter};
use differential::{odd, script, searches};
use site::cyrus::Cyrus;
use site::dovecot::Dovecot;
use site::proxy::Reading;
use site::store::Store;
use site::{Site, password};
use support::imap::{Answer, Client};
use support::tokens::{Token, parse};

fn side(port: u16, user: &'static str) -> Side {
    Side { client: Client::login(port, user, &password(user)), user }
}

/// The structure of each message, by its number.
fn structures(answer: &Answer) -> Vec<Token> {
    let of = |response: &&Vec<u8>| {
        let tokens = parse(response);
        let items = tokens[2].list().unwrap();
        let at = items.iter().position(|item| item.atom() == Some("BODYSTRUCTURE")).unwrap();
        items[at + 1].clone()
    };
    answer.of("FETCH").iter().map(of).collect()
}

/// Appends messages to "mail" on both sides and runs the whole script.
fn run(pair: &mut Pair, letters: Vec<Letter>) {
    pair.run("CREATE mail");
    for letter in letters {
        let answers = pair.both(|side| side.client.append("mail", &letter.before, &letter.bytes));
        let [direct, proxy] = answers.map(|answer| answer.status());
        assert_eq!(direct, proxy, "{}", letter.name);
        if direct == "OK" {
            pair.names.push(letter.name);
        }
    }
    pair.run("SELECT mail");
    let described = pair.run("FETCH 1:* BODYSTRUCTURE");
    for command in script::lists() {
        pair.run(&command);
    }
    for (index, structure) in structures(&described).iter().enumerate() {
        for command in script::message(index + 1, structure) {
            pair.run(&command);
        }
    }
    for command in searches::all() {
        pair.run(&command);
    }
    for command in script::changes() {
        pair.run(&command);
    }
}

/// Whether the comparison itself is right: nothing differs between two users of one store, directly.
fn directly<S: Store>() {
    let site = Site::new("");
    let store = S::open_with_duplicates(&site, &["alice", "bob"]);
    let port = store.imap_port();
    let mut pair = Pair::new(side(port, "alice"), side(port, "bob"));
    run(&mut pair, corpus::well_formed().into_iter().step_by(8).collect());
    let shown: Vec<_> = pair.differences.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{} differences\n{}", shown.len(), shown.join("\n"));
}

#[test]
fn two_users_of_cyrus_differ_in_nothing() {
    directly::<Cyrus>();
}

#[test]
fn two_users_of_dovecot_differ_in_nothing() {
    directly::<Dovecot>();
}

fn through_the_proxy<S: Store>(kind: Kind) {
    let site = Site::with_users(&["bob"]);
    let store = S::open_with_duplicates(&site, &["alice", "bob"]);
    let reading = Reading::start(&site, &store.imap_address());
    let mut pair = Pair::new(side(store.imap_port(), "alice"), side(reading.port(), "bob"));
    run(&mut pair, corpus::well_formed());
    assert!(pair.names.len() >= 300, "only {} messages", pair.names.len());
    assert!(pair.commands >= 1_000, "only {} commands", pair.commands);
    let (left, unused) = left_over(kind, pair.differences);
    let shown: Vec<_> = left.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{} differences\n{}", shown.len(), shown.join("\n"));
    assert!(unused.is_empty(), "no difference of these kinds any more: {unused:?}");
}

#[test]
fn the_proxy_answers_as_cyrus_does() {
    through_the_proxy::<Cyrus>(Kind::Cyrus);
}

#[test]
fn the_proxy_answers_as_dovecot_does() {
    through_the_proxy::<Dovecot>(Kind::Dovecot);
}

/// Mail that nobody can read rightly is at least read in one way.
fn malformed<S: Store>() {
    let site = Site::with_users(&["bob"]);
    let store = S::open_with_duplicates(&site, &["bob"]);
    let reading = Reading::start(&site, &store.imap_address());
    let mut client = side(reading.port(), "bob").client;
    client.command("CREATE odd").good();
    let letters = corpus::malformed();
    let refused = corpus::append(&mut client, "odd", &letters);
    let kept: Vec<_> = letters
        .iter()
        .filter(|letter| refused.iter().all(|(name, _)| *name != letter.name))
        .collect();
    assert!(kept.len() >= 90, "{refused:?}");
    client.command("SELECT odd").good();
    let names: Vec<_> = kept.iter().map(|letter| letter.name.clone()).collect();
    let originals: Vec<_> = kept.iter().map(|letter| letter.bytes.clone()).collect();
    let misfits = odd::misfits(&mut client, &names, &originals);
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
}

#[test]
fn answers_about_malformed_mail_fit_each_other_at_cyrus() {
    malformed::<Cyrus>();
}

#[test]
fn answers_about_malformed_mail_fit_each_other_at_dovecot() {
    malformed::<Dovecot>();
}

/// Whoever reads the README is told of each difference, in the same words.
#[test]
fn the_readme_has_the_same_list() {
    let readme = include_str!("../README.md");
    for allowed in ALLOWED {
        let at = allowed.at.map_or("both".to_owned(), |kind| format!("{kind:?}"));
        let row = format!("| {} | {at} | {} |\n", allowed.what, allowed.reason);
        assert!(readme.contains(&row), "{row}");
    }
}
