//! Real Postfix → `nightsafe lmtp` → real Cyrus: the scenarios of `tests/behind`, one test each.

mod behind;
mod seal_support;
mod site;

use behind::{bytes, cyrus, many, outcomes, parameters, recipients};
use site::cyrus::Cyrus;

#[test]
fn mail_is_sealed_and_comes_back() {
    outcomes::sealed::<Cyrus>();
}

#[test]
fn an_unknown_user_bounces() {
    outcomes::unknown::<Cyrus>();
}

#[test]
fn a_full_mailbox_bounces() {
    outcomes::over_quota::<Cyrus>();
}

#[test]
fn who_is_not_enrolled_is_treated_as_the_policy_says() {
    outcomes::not_enrolled::<Cyrus>();
}

#[test]
fn mail_waits_while_the_keys_are_away() {
    outcomes::keys_away::<Cyrus>();
}

#[test]
fn mail_waits_while_servers_are_away() {
    outcomes::servers_away::<Cyrus>();
}

#[test]
fn enrolment_and_removal_are_seen() {
    outcomes::enrolment::<Cyrus>();
}

#[test]
fn the_detail_names_a_folder_if_there_is_one() {
    recipients::details::<Cyrus>();
}

#[test]
fn each_recipient_has_an_answer_of_his_own() {
    recipients::each_his_own_answer::<Cyrus>();
}

#[test]
fn a_passed_copy_beside_a_sealed_one() {
    recipients::sealed_and_passed::<Cyrus>();
}

#[test]
fn every_message_comes_back_as_it_was() {
    bytes::every_fixture::<Cyrus>();
}

#[test]
fn a_long_line_is_not_broken() {
    bytes::a_long_line_through_postfix::<Cyrus>();
}

#[test]
fn four_hundred_recipients() {
    many::four_hundred::<Cyrus>();
}

#[test]
fn the_store_is_told_no_more_than_it_must_know() {
    parameters::of_mail::<Cyrus>(true);
}

#[test]
fn what_is_too_large_for_cyrus_bounces() {
    cyrus::too_large();
}

#[test]
fn quota_can_be_ignored() {
    cyrus::ignore_quota();
}

#[test]
fn nightsafe_logs_in_where_cyrus_asks_for_it() {
    cyrus::over_tcp();
}
