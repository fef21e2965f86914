//! What was read from a client and not understood yet: in memory that is wiped.

use crate::secret::SecretBytes;

/// What was read and not understood yet.
pub(super) struct Input {
    /// As long as there is room.
    bytes: SecretBytes,
    start: usize,
    end: usize,
}

impl Input {
    /// Room for so many octets.
    pub(super) fn new(room: usize) -> Self {
        Self { bytes: SecretBytes::from(vec![0; room]), start: 0, end: 0 }
    }

    /// What waits to be understood.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.expose().get(self.start..self.end).unwrap_or_default()
    }

    /// Counts octets of it as understood.
    pub(super) fn take(&mut self, octets: usize) {
        self.start += octets;
        if self.start >= self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room for more, behind what waits; [`Input::add`] says how much of it was used.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.expose_mut().copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.bytes.expose_mut().get_mut(self.end..).unwrap_or_default()
    }

    /// Counts octets that were read into the room.
    pub(super) fn add(&mut self, octets: usize) {
        self.end += octets;
    }

    /// At least so much room.
    pub(super) fn enlarge(&mut self, room: usize) {
        if self.bytes.len() < room {
            self.resize(room);
        }
    }

    /// Another room; what waits is kept, all else is wiped. Never less room than what waits needs.
    pub(super) fn resize(&mut self, room: usize) {
        let waiting = self.waiting();
        let mut other = Self::new(room.max(waiting.len()));
        if let Some(place) = other.bytes.expose_mut().get_mut(..waiting.len()) {
            place.copy_from_slice(waiting);
        }
        other.end = waiting.len();
        *self = other;
    }
}
