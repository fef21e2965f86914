//! Python's imaplib, as in many a script.

use super::{Desk, Letters, Program, run};
use std::fs;

pub struct Imaplib;

const SCRIPT: &str = include_str!("imaplib.py");

impl Imaplib {
    fn run(desk: &Desk, task: &str) {
        let script = desk.file("client.py", SCRIPT);
        let password = desk.file("password", desk.password());
        let mut command = desk.command("/usr/bin/python3");
        command
            .arg("-I")
            .arg(script)
            .args([&desk.port.to_string(), desk.user])
            .arg(password)
            .arg(task);
        run(&mut command);
    }
}

impl Program for Imaplib {
    const NAME: &'static str = "imaplib";

    fn fetch(desk: &Desk) -> Vec<Vec<u8>> {
        let folder = desk.make("messages");
        Self::run(desk, "fetch");
        let files = fs::read_dir(folder).unwrap();
        files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }

    fn change(desk: &Desk, letters: &Letters) {
        desk.file("append", &letters.append);
        Self::run(desk, "change");
    }
}
