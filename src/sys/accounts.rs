//! The users of the operating system, from /etc/passwd: a static program asks no other place.

use std::fs;

const PASSWD: &str = "/etc/passwd";

/// All of them, as they stand there; empty where it cannot be read.
pub fn users() -> String {
    fs::read_to_string(PASSWD).unwrap_or_default()
}

/// The number of the user called `name`; a number stands for itself.
pub fn uid_of(name: &str) -> Option<u32> {
    uid_among(&users(), name)
}

/// The same among `users`.
pub fn uid_among(users: &str, name: &str) -> Option<u32> {
    find(users, name).or_else(|| name.parse().ok())
}

/// passwd(5): the name, the password, the number.
fn find(users: &str, name: &str) -> Option<u32> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let users = "root:x:0:0::/root:/bin/sh\nx:y\nalice:x:1000:100:Alice:/:/bin/sh\n";
        assert_eq!((find(users, "root"), find(users, "alice")), (Some(0), Some(1000)));
        assert_eq!((find(users, "x"), find(users, "1000")), (None, None));
        assert_eq!((uid_of("4711"), uid_of("no such user")), (Some(4711), None));
    }
}
