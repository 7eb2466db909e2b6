//! An input of `dhcp`, message by message.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::dhcp::Server;
use vhost_fuzz_harness::dhcp::Setup;
use vhost_fuzz_harness::target::dhcp::{check, judge, split};
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::dhcp::{Said, read};

use super::{dump, quietly};

/// Prints the messages with what has to become of each.
pub(super) fn explain(text: &mut String, input: &[u8]) {
    let (setup, _) = split(input);
    let _ = writeln!(text, "port: {}\n", port(setup));
    for (number, (record, said)) in (1..).zip(judge(input)) {
        let _ = writeln!(
            text,
            "{number:>5}  after {} s, {} sends {} bytes from {} to {}:{}",
            record.seconds,
            record.ethernet_source,
            record.payload.len(),
            record.source,
            record.destination,
            record.port
        );
        message(text, record.payload);
        outcome(text, &said);
    }
    text.push('\n');
    if let Err(panic) = quietly(|| check::<Server>(input)) {
        let _ = writeln!(text, "the code panics: {panic}");
    }
}

fn port(setup: Setup) -> String {
    let names = [
        (Setup::NEAR, "/24"),
        (Setup::STRICT, "strict"),
        (Setup::HUMBLE, "not authoritative"),
        (Setup::RELAYS, "serves relays"),
        (Setup::RAPID, "rapid commit"),
        (Setup::ALL, "hands out everything"),
        (Setup::ENDLESS, "leases without an end"),
        (Setup::ELSEWHERE, "server elsewhere"),
    ];
    let set = names.iter().filter(|(flag, _)| setup.0[0] & flag != 0).map(|(_, name)| *name);
    let mtu = format!("MTU {}", setup.mtu());
    set.chain([mtu.as_str()]).collect::<Vec<_>>().join(", ")
}

/// What the message says, as far as it can be read.
fn message(text: &mut String, payload: &[u8]) {
    match read(payload) {
        Ok(message) => {
            for (code, value) in &message.options {
                let _ = writeln!(text, "         option {code}: {}", value.escape_ascii());
            }
        }
        Err(_) => dump(text, 0, "payload", payload),
    }
}

fn outcome(text: &mut String, said: &Result<Said, Id>) {
    let _ = match said {
        Ok(Said::Nothing(id)) => writeln!(text, "         no answer: {id}"),
        Ok(Said::Reply { bytes, destination, port, mac }) => writeln!(
            text,
            "         {} bytes, type {}, to {}:{port} at {}",
            bytes.len(),
            bytes.get(242).copied().unwrap_or(0),
            Ipv4Addr::from(*destination),
            Mac(*mac)
        ),
        Err(id) => writeln!(text, "         dropped: {id}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::dhcp::{Draft, input};

    #[test]
    fn every_message_is_told_with_what_becomes_of_it() {
        let setup = Setup([Setup::NEAR | Setup::RAPID, 1]);
        let drafts = [
            Draft::discover().option(12, b"a\n").end(),
            Draft { port: 68, ..Draft::discover() },
            Draft::discover().at(0, &[9]),
        ];
        let mut text = String::new();
        explain(&mut text, &input(setup, &drafts));
        for words in [
            "port: /24, rapid commit, MTU 576",
            "option 12: a\\n",
            "type 2, to 192.0.2.10:68 at 02:00:00:00:00:0a",
            "no answer: DH-056",
            "dropped: DH-001",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
