//! Real Postfix → `nightsafe lmtp` → real Dovecot: the scenarios of `tests/behind`, one test each.

mod behind;
mod seal_support;
mod site;

use behind::{bytes, dovecot, many, outcomes, parameters, recipients};
use site::Site;
use site::dovecot::Dovecot;
use site::hook::Hook;
use site::store::Store as _;
use site::users::users;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[test]
fn mail_is_sealed_and_comes_back() {
    outcomes::sealed::<Dovecot>();
}

#[test]
fn an_unknown_user_bounces() {
    outcomes::unknown::<Dovecot>();
}

#[test]
fn a_full_mailbox_bounces() {
    outcomes::over_quota::<Dovecot>();
}

#[test]
fn what_would_overfill_a_mailbox_bounces() {
    dovecot::over_quota_with_it();
}

#[test]
fn who_is_not_enrolled_is_treated_as_the_policy_says() {
    outcomes::not_enrolled::<Dovecot>();
}

#[test]
fn mail_waits_while_the_keys_are_away() {
    outcomes::keys_away::<Dovecot>();
}

#[test]
fn mail_waits_while_servers_are_away() {
    outcomes::servers_away::<Dovecot>();
}

#[test]
fn enrolment_and_removal_are_seen() {
    outcomes::enrolment::<Dovecot>();
}

#[test]
fn the_detail_names_a_folder_if_there_is_one() {
    recipients::details::<Dovecot>();
}

#[test]
fn each_recipient_has_an_answer_of_his_own() {
    recipients::each_his_own_answer::<Dovecot>();
}

#[test]
fn a_passed_copy_beside_a_sealed_one() {
    recipients::sealed_and_passed::<Dovecot>();
}

#[test]
fn every_message_comes_back_as_it_was() {
    bytes::every_fixture::<Dovecot>();
}

#[test]
fn a_long_line_is_not_broken() {
    bytes::a_long_line_through_postfix::<Dovecot>();
}

#[test]
fn four_hundred_recipients() {
    many::four_hundred::<Dovecot>();
}

#[test]
fn the_store_is_told_no_more_than_it_must_know() {
    parameters::of_mail::<Dovecot>(false);
}

/// Whoever reaches the socket can deliver: nightsafe itself, Postfix, and root.
#[test]
fn nobody_else_can_deliver() {
    let site = Site::new("");
    let dovecot = Dovecot::start(&site, &[]);
    let address = format!("unix:{}", dovecot.lmtp_socket().display());
    let hook = Hook::start(&site, &address);
    let owner = users().delivery.uid;
    let group = users().postfix.gid;
    let rights = |path: &Path| {
        let about = fs::metadata(path).unwrap();
        (about.mode() & 0o777, about.uid(), about.gid())
    };
    assert_eq!(rights(hook.socket()), (0o660, owner, group));
    assert_eq!(rights(hook.socket().parent().unwrap()), (0o750, owner, group));
}
