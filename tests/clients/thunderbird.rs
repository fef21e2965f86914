//! Thunderbird without a screen, told what to do by its remote protocol (Marionette), in the words of its own
//! program.

use super::{Desk, Letters, Program, maildir};
use crate::site::process::{Server, free_port, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

pub struct Thunderbird;

/// What is not at its default in the profile.
const SETTINGS: &str = include_str!("thunderbird.js");
/// Functions for the tasks.
const TASKS: &str = include_str!("thunderbird_tasks.js");

/// A running Thunderbird.
struct Running {
    stream: TcpStream,
    commands: u32,
    _process: Server,
}

impl Running {
    fn start(desk: &Desk) -> Self {
        let profile = desk.make("profile");
        let port = free_port();
        let settings = SETTINGS
            .replace("@port@", &desk.port.to_string())
            .replace("@user@", desk.user)
            .replace("@marionette@", &port.to_string());
        fs::write(profile.join("user.js"), settings).unwrap();
        let mut command = desk.command("/usr/lib/thunderbird/thunderbird");
        command
            .args([
                "--headless",
                "--marionette",
                "--remote-allow-system-access",
                "--no-remote",
                "--profile",
            ])
            .arg(&profile);
        command.env("MOZ_CRASHREPORTER_DISABLE", "1").env("MOZ_HEADLESS", "1");
        let said = fs::File::create(desk.folder.join("thunderbird.log")).unwrap();
        command.stdout(said.try_clone().unwrap()).stderr(said);
        let process = Server::start(&mut command);
        let log = || fs::read_to_string(desk.folder.join("thunderbird.log")).unwrap_or_default();
        let stream = wait_for("Thunderbird", log, || TcpStream::connect(("127.0.0.1", port)).ok());
        stream.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
        let mut running = Self { stream, commands: 0, _process: process };
        running.read();
        running.ask("WebDriver:NewSession", &json!({}));
        running.ask("Marionette:SetContext", &json!({ "value": "chrome" }));
        running.ask("WebDriver:SetTimeouts", &json!({ "script": 80_000 }));
        running.run("log_in", &json!([desk.password()]));
        running
    }

    /// One packet: its length, a colon, and JSON.
    fn read(&mut self) -> Value {
        let mut length = 0_usize;
        loop {
            let mut digit = [0];
            self.stream.read_exact(&mut digit).unwrap();
            if digit[0] == b':' {
                break;
            }
            length = length * 10 + usize::from(digit[0] - b'0');
        }
        let mut packet = vec![0; length];
        self.stream.read_exact(&mut packet).unwrap();
        serde_json::from_slice(&packet).unwrap()
    }

    #[track_caller]
    fn ask(&mut self, name: &str, parameters: &Value) -> Value {
        self.commands += 1;
        let packet = json!([0, self.commands, name, parameters]).to_string();
        self.stream.write_all(format!("{}:{packet}", packet.len()).as_bytes()).unwrap();
        let mut answer = self.read();
        assert!(answer[2].is_null(), "{name}: {}", answer[2]);
        answer[3].take()
    }

    /// Runs a task to its end.
    #[track_caller]
    fn run(&mut self, task: &str, arguments: &Value) -> Value {
        let script = format!(
            "{TASKS}\nconst done = arguments[arguments.length - 1];\n\
             {task}(...arguments).then(value => done({{ value }}), error => done({{ error: `${{error}} ${{error.stack}}` }}));"
        );
        let parameters = json!({ "script": script, "args": arguments, "newSandbox": true });
        let mut answer = self.ask("WebDriver:ExecuteAsyncScript", &parameters)["value"].take();
        assert!(answer["error"].is_null(), "{task}: {}", answer["error"]);
        answer["value"].take()
    }
}

impl Program for Thunderbird {
    const NAME: &'static str = "thunderbird";
    const OWN_FIELDS: &'static [&'static str] =
        &["X-Mozilla-Status:", "X-Mozilla-Status2:", "X-Mozilla-Keys:"];

    /// It ends a last line that has no end.
    fn takes(message: &[u8]) -> bool {
        message.ends_with(b"\r\n")
    }

    fn fetch(desk: &Desk) -> Vec<Vec<u8>> {
        let mut running = Running::start(desk);
        running.run("fetch", &json!([]));
        drop(running);
        let found = maildir(&desk.folder.join("profile/ImapMail/127.0.0.1/INBOX"));
        found.into_iter().map(|(_, message)| message).collect()
    }

    fn change(desk: &Desk, letters: &Letters) {
        let file = desk.file("append.eml", &letters.append);
        let mut running = Running::start(desk);
        running.run("change", &json!([file.to_str().unwrap()]));
    }
}
