//! Mail clients → `nightsafe imap` → real Cyrus: the scenarios of `tests/reading`, one test each.

mod reading;
mod site;
mod support;

use reading::{answers, away, many, others};
use site::cyrus::Cyrus;

#[test]
fn what_is_not_offered_is_not_done() {
    answers::nothing_else_is_offered::<Cyrus>();
}

#[test]
fn items_come_in_the_order_of_the_client() {
    answers::items_come_as_they_were_asked_for::<Cyrus>();
}

#[test]
fn what_is_appended_keeps_flags_and_date() {
    answers::an_append_keeps_what_the_client_says::<Cyrus>();
}

#[test]
fn sealed_and_plain_mail_in_one_mailbox() {
    answers::a_mixed_mailbox::<Cyrus>();
}

#[test]
fn what_was_sealed_twice_is_shown_as_it_was() {
    answers::sealed_again::<Cyrus>();
}

#[test]
fn malformed_commands_are_refused() {
    answers::malformed_commands::<Cyrus>();
}

#[test]
fn idle_tells_what_others_do() {
    many::idle::<Cyrus>();
}

#[test]
fn sessions_of_one_user_at_once() {
    many::sessions_at_once::<Cyrus>();
}

#[test]
fn pipelined_commands() {
    many::pipelined::<Cyrus>();
}

#[test]
fn partials_make_the_message() {
    many::partials::<Cyrus>();
}

#[test]
fn who_has_no_keys_stores_nothing() {
    others::not_enrolled::<Cyrus>();
}

#[test]
fn who_has_no_keys_is_passed_where_policy_says_so() {
    others::not_enrolled_and_passed::<Cyrus>();
}

#[test]
fn the_first_login_enrols() {
    others::enrolled_at_login::<Cyrus>();
}

#[test]
fn two_users() {
    others::two_users::<Cyrus>();
}

#[test]
fn who_is_locked_loses_the_session() {
    away::a_lost_lease_ends_the_session::<Cyrus>();
}

#[test]
fn without_the_agent_nothing_is_shown() {
    away::the_agent_is_away::<Cyrus>();
}

#[test]
fn the_store_dies() {
    away::the_store_dies::<Cyrus>();
}

#[test]
fn a_client_vanishes_in_the_midst_of_a_message() {
    away::the_client_vanishes::<Cyrus>();
}

#[test]
fn a_session_holds_one_lease() {
    away::a_session_holds_one_lease::<Cyrus>();
}

#[test]
fn shared_folders_stay_sealed() {
    others::shared_folders();
}
