//! FETCH.
use super::client::Refused;
use super::session::Session;
use crate::imap::refusal::Refusal;

impl Session {
    pub(super) async fn fetch(
        &mut self,
        _tag: &[u8],
        _uid: bool,
        _arguments: &[u8],
    ) -> Result<(), Refused> {
        self.need_keys().await?;
        Err(Refusal::no("later").into())
    }
}
