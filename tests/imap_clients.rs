//! Real mail clients through `nightsafe imap` before real Cyrus and real Dovecot.

mod clients;
mod seal_support;
mod site;
mod support;

use clients::at_work;
use clients::curl::Curl;
use clients::imaplib::Imaplib;
use clients::mbsync::Mbsync;
use clients::mutt::Mutt;
use clients::offlineimap::OfflineImap;
use clients::thunderbird::Thunderbird;
use site::cyrus::Cyrus;
use site::dovecot::Dovecot;

#[test]
fn mbsync_before_cyrus() {
    at_work::<Cyrus, Mbsync>();
}

#[test]
fn mbsync_before_dovecot() {
    at_work::<Dovecot, Mbsync>();
}

#[test]
fn offlineimap_before_cyrus() {
    at_work::<Cyrus, OfflineImap>();
}

#[test]
fn offlineimap_before_dovecot() {
    at_work::<Dovecot, OfflineImap>();
}

#[test]
fn curl_before_cyrus() {
    at_work::<Cyrus, Curl>();
}

#[test]
fn curl_before_dovecot() {
    at_work::<Dovecot, Curl>();
}

#[test]
fn imaplib_before_cyrus() {
    at_work::<Cyrus, Imaplib>();
}

#[test]
fn imaplib_before_dovecot() {
    at_work::<Dovecot, Imaplib>();
}

#[test]
fn mutt_before_cyrus() {
    at_work::<Cyrus, Mutt>();
}

#[test]
fn mutt_before_dovecot() {
    at_work::<Dovecot, Mutt>();
}

#[test]
fn thunderbird_before_cyrus() {
    at_work::<Cyrus, Thunderbird>();
}

#[test]
fn thunderbird_before_dovecot() {
    at_work::<Dovecot, Thunderbird>();
}
