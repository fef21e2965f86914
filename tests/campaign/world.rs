//! Everything that can fail, and how it fails and comes back.

use std::fs;

use rustix::process::Signal;

use super::USERS;
use super::chance::Chance;
use super::relay::Relay;
use super::store::{Kind, Store};
use crate::site::Site;
use crate::site::fault::{SmallDisk, Unmounted};
use crate::site::hook::Hook;

/// What goes wrong in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    ServiceKilled,
    StoreKilled,
    StoreStalls,
    StoreHangsUp,
    KeysVanish,
    DiskFull,
}

/// Room for all that a case stores, and more.
const DISK_KIB: u32 = 128 * 1024;

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Self::ServiceKilled => "nightsafe killed",
            Self::StoreKilled => "store killed",
            Self::StoreStalls => "store stalls",
            Self::StoreHangsUp => "store hangs up",
            Self::KeysVanish => "keys vanish",
            Self::DiskFull => "disk full",
        }
    }

    /// Lines of `[lmtp]`: how long nightsafe waits for the store.
    fn settings(self) -> &'static str {
        match self {
            Self::StoreStalls => {
                "backend_connect_timeout = 1\nbackend_reply_timeout = 1\n\
                 backend_data_timeout = 1\nwait_timeout = 2"
            }
            _ => "backend_reply_timeout = 20\nbackend_data_timeout = 20\nwait_timeout = 20",
        }
    }
}

/// The site of one case. What runs ends before what it runs on.
pub struct World {
    fault: Fault,
    pub service: Hook,
    pub store: Store,
    relay: Option<Relay>,
    disk: Option<SmallDisk>,
    strikes: usize,
    pub site: Site,
}

impl World {
    pub fn new(kind: Kind, fault: Fault) -> Self {
        let site = Site::with_users(&USERS);
        let disk = (fault == Fault::DiskFull).then(|| {
            let spool = site.join(kind.spool());
            fs::create_dir_all(&spool).unwrap();
            SmallDisk::mount(&spool, DISK_KIB)
        });
        let store = Store::start(kind, &site);
        let relay = (fault == Fault::StoreHangsUp)
            .then(|| Relay::start(site.join("relay"), store.socket()));
        let socket = relay.as_ref().map_or_else(|| store.socket(), |r| r.socket().to_owned());
        // A folder without keys must not be taken for users without keys, whose mail is passed on.
        let settings = format!("{}\n[delivery]\nunenrolled = \"pass\"", fault.settings());
        let service = Hook::start_with(&site, &format!("unix:{}", socket.display()), &settings);
        Self { fault, service, store, relay, disk, strikes: 0, site }
    }

    /// Lets it happen, and ends it. Gives the number of times so far.
    pub fn strike(&mut self, chance: &mut Chance) -> usize {
        self.strikes += 1;
        match self.fault {
            Fault::ServiceKilled => {
                chance.pause(20..120);
                self.service.kill();
                self.service.up(&self.site);
            }
            // Only those that take mail. Dovecot's master then leaves its socket unserved for a while.
            Fault::StoreKilled if self.store.kind() == Kind::Cyrus && chance.is(50) => {
                chance.pause(20..120);
                self.store.signal_lmtpd(Signal::KILL);
            }
            Fault::StoreKilled => {
                chance.pause(50..300);
                self.store.kill();
                self.store.up(&self.site);
            }
            Fault::StoreStalls => {
                chance.pause(50..400);
                self.store.signal_lmtpd(Signal::STOP);
                chance.pause(100..2000);
                self.store.signal_lmtpd(Signal::CONT);
            }
            Fault::StoreHangsUp => {
                chance.pause(20..60);
                let relay = self.relay.as_ref().unwrap();
                // The kind of cut that came least: each must come.
                self.strikes = relay.cuts().iter().map(|(_, count)| *count).min().unwrap();
            }
            Fault::KeysVanish => {
                chance.pause(50..400);
                let vanished = Unmounted::make(&self.site.join("keys"));
                // A key is believed for half a second.
                chance.pause(100..1500);
                drop(vanished);
            }
            Fault::DiskFull => {
                chance.pause(50..200);
                let disk = self.disk.as_ref().unwrap();
                disk.fill();
                chance.pause(20..200);
                disk.make_room();
            }
        }
        self.strikes
    }

    /// From here on nothing goes wrong any more.
    pub fn calm(&self) {
        if let Some(relay) = &self.relay {
            relay.calm();
        }
    }

    /// nightsafe has lived until here, and ends well.
    pub fn stop(&mut self) {
        self.service.stop();
    }
}
