//! Explains inputs of `arp`: each frame by its layers, and what the model says to it.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use vhost_fuzz_harness::gateway::{self, Record};
use vhost_fuzz_harness::oracle::gateway::judge;
use vhost_fuzz_model::net::gateway::Said;
use vhost_fuzz_model::net::{ethernet, ipv4};

use super::{dump, row};

const OPTIONS: [&str; 7] =
    ["strict", "proxy", "broadcasts", "defends", "room of 64", "MTU of 128", "four replies"];

/// Explains an input.
pub(super) fn explain(text: &mut String, bytes: &[u8]) {
    let (setup, records) = gateway::decode(bytes);
    let names: Vec<_> = (0..).zip(OPTIONS).filter(|(bit, _)| setup.has(*bit)).collect();
    let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
    row(text, 0, 1, "options", &names.join(", "));
    let mut offset = 1;
    for (record, said) in records.iter().zip(judge(bytes)) {
        head(text, offset, record);
        offset += 2;
        frame(text, offset, record.frame);
        offset += record.frame.len();
        match said {
            Said::Reply(reply) => dump(text, 0, "→ reply", &reply),
            Said::Silent(id) => _ = writeln!(text, "→ silence, {id}"),
            Said::Refused(id) => _ = writeln!(text, "→ refused, {id}"),
        }
    }
}

fn head(text: &mut String, offset: usize, record: &Record<'_>) {
    let mut value = format!("{} bytes after {} ms", record.frame.len(), record.wait_ms());
    if record.is_partial {
        value.push_str(", checksum left to the device");
    }
    row(text, offset, 2, "frame", &value);
}

fn frame(text: &mut String, offset: usize, bytes: &[u8]) {
    let Ok(frame) = ethernet::frame(bytes) else { return dump(text, offset, "bytes", bytes) };
    let mac =
        |mac: &[u8]| mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
    row(text, offset, 6, "destination", &mac(&frame.destination));
    row(text, offset + 6, 6, "source", &mac(&frame.source));
    if let Some((protocol, control)) = frame.tag {
        row(text, offset + 12, 4, "tag", &format!("{protocol:#06x} {control:#06x}"));
    }
    let (start, end) = frame.payload;
    row(text, offset + start - 2, 2, "type", &format!("{:#06x}", frame.ether_type));
    let payload = &bytes[start..end];
    let at = offset + start;
    match frame.ether_type {
        0x0806 if payload.len() >= 28 => {
            let address = |at: usize| {
                let octets: [u8; 4] = std::array::from_fn(|index| payload[at + index]);
                Ipv4Addr::from(octets).to_string()
            };
            dump(text, at, "form", &payload[..6]);
            row(
                text,
                at + 6,
                2,
                "op",
                &(256 * u16::from(payload[6]) + u16::from(payload[7])).to_string(),
            );
            row(text, at + 8, 6, "sha", &mac(&payload[8..14]));
            row(text, at + 14, 4, "spa", &address(14));
            row(text, at + 18, 6, "tha", &mac(&payload[18..24]));
            row(text, at + 24, 4, "tpa", &address(24));
            dump(text, at + 28, "padding", &payload[28..]);
        }
        0x0800 => {
            if let Ok(packet) = ipv4::packet(payload) {
                let (source, destination) = (packet.source, packet.destination);
                let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
                let value = format!("{source} to {destination}, protocol {}", packet.protocol);
                row(text, at, payload.len(), "IPv4", &value);
            }
            dump(text, at, "", payload);
        }
        _ => dump(text, at, "payload", payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_explained() {
        let frame = gateway::build::Arp::default().bytes();
        let bytes = gateway::encode(gateway::Setup(3), &[Record::new(&frame)]);
        let mut text = String::new();
        explain(&mut text, &bytes);
        for line in ["strict, proxy", "42 bytes after 1 ms", "169.254.0.1", "→ reply"] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
