//! Whatever dies, stalls or vanishes around `nightsafe lmtp`: what was accepted is in the mailbox,
//! once where the store knows duplicates, unaltered, and nothing can be read.
//!
//! `NIGHTSAFE_SEED` repeats the chances of a run; `--nocapture` shows what was counted.

mod campaign;
mod site;

use campaign::store::Kind::{Cyrus, Dovecot};
use campaign::world::Fault;
use campaign::{mta, run};

#[test]
fn nightsafe_is_killed_before_cyrus() {
    run(Cyrus, Fault::ServiceKilled);
}

#[test]
fn nightsafe_is_killed_before_dovecot() {
    run(Dovecot, Fault::ServiceKilled);
}

#[test]
fn cyrus_is_killed() {
    run(Cyrus, Fault::StoreKilled);
}

#[test]
fn dovecot_is_killed() {
    run(Dovecot, Fault::StoreKilled);
}

#[test]
fn cyrus_stalls() {
    run(Cyrus, Fault::StoreStalls);
}

#[test]
fn dovecot_stalls() {
    run(Dovecot, Fault::StoreStalls);
}

#[test]
fn cyrus_hangs_up() {
    run(Cyrus, Fault::StoreHangsUp);
}

#[test]
fn dovecot_hangs_up() {
    run(Dovecot, Fault::StoreHangsUp);
}

#[test]
fn the_keys_vanish_before_cyrus() {
    run(Cyrus, Fault::KeysVanish);
}

#[test]
fn the_keys_vanish_before_dovecot() {
    run(Dovecot, Fault::KeysVanish);
}

#[test]
fn the_disk_is_full_below_cyrus() {
    run(Cyrus, Fault::DiskFull);
}

#[test]
fn the_disk_is_full_below_dovecot() {
    run(Dovecot, Fault::DiskFull);
}

#[test]
fn nightsafe_is_killed_between_postfix_and_cyrus() {
    mta::run(Cyrus, Fault::ServiceKilled);
}

#[test]
fn cyrus_hangs_up_on_mail_from_postfix() {
    mta::run(Cyrus, Fault::StoreHangsUp);
}

#[test]
fn nightsafe_is_killed_between_postfix_and_dovecot() {
    mta::run(Dovecot, Fault::ServiceKilled);
}
