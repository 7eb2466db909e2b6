//! An input of `net_header`, field by field.

use std::fmt::Write as _;

use vhost_fuzz_core::net::header::{Header, Port};
use vhost_fuzz_harness::target::net_header::{Input, SETUP_LEN};

use super::{dump, number, quietly, row};

/// Fields of the longest header: offset, size and name.
const FIELDS: &[(usize, usize, &str)] = &[
    (0, 1, "flags"),
    (1, 1, "gso_type"),
    (2, 2, "hdr_len"),
    (4, 2, "gso_size"),
    (6, 2, "csum_start"),
    (8, 2, "csum_offset"),
    (10, 2, "num_buffers"),
    (12, 4, "hash_value"),
    (16, 2, "hash_report"),
    (18, 2, "padding"),
    (20, 2, "outer_th_offset"),
    (22, 2, "inner_nh_offset"),
    (24, 2, "outer_nh_offset"),
    (26, 4, "resource_id"),
    (30, 2, "resource_type"),
];

/// Prints what was negotiated, the header, the frame, and what the code makes of them.
pub(super) fn explain(text: &mut String, input: &[u8]) {
    let (port, parsed) = Input::split(input);
    let Port { features, mtu, frame_max } = port;
    let bits: Vec<_> = (0..72).filter(|bit| features.bits() >> bit & 1 == 1).collect();
    let _ = writeln!(text, "features {bits:?}: a header of {} bytes", features.header_len());
    let _ = writeln!(text, "mtu {mtu}, without it frames of up to {frame_max} bytes");
    match parsed {
        Input::Send { bytes, writable } => send(text, &port, bytes, writable),
        Input::Receive { frame, about } => {
            let _ = writeln!(text, "for the driver: {about:?}");
            let _ = writeln!(text, "offset  size  field              value");
            dump(text, input.len() - frame.len(), "frame", frame);
            let made = quietly(|| match port.receive(frame, &about) {
                Ok(header) => format!("header:  {header:?}"),
                Err(error) => format!("refused: {error}"),
            });
            end(text, made);
        }
    }
}

fn send(text: &mut String, port: &Port, bytes: &[u8], writable: u64) {
    let len = port.features.header_len();
    let _ = writeln!(text, "to send: {} readable and {writable} writable bytes", bytes.len());
    let _ = writeln!(text, "offset  size  field              value");
    if let Some((front, frame)) = bytes.split_at_checked(len) {
        for (offset, size, name) in FIELDS.iter().filter(|(offset, ..)| *offset < len) {
            let value = front[*offset..offset + size]
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
            row(text, SETUP_LEN + offset, *size, name, &number(value));
        }
        dump(text, SETUP_LEN + len, "frame", frame);
    } else {
        dump(text, SETUP_LEN, "header, cut", bytes);
    }
    let read = quietly(|| match port.transmit(bytes, writable) {
        Ok(sent) => format!(
            "accepted: checksum {:?}, segments {:?}, headers {:?}, outer network {:?}, {:?}",
            sent.checksum, sent.segments, sent.headers, sent.outer_network, sent.security
        ),
        Err(error) => {
            let header = Header::decode(port.features, bytes).map(|(header, _)| header);
            format!("refused: {error}\nread as: {header:?}")
        }
    });
    end(text, read);
}

fn end(text: &mut String, line: Result<String, String>) {
    let _ = match line {
        Ok(line) => writeln!(text, "\n{line}"),
        Err(panic) => writeln!(text, "\nthe code panics: {panic}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::corpus::seeds;

    #[test]
    fn every_seed_is_explained() {
        let mut whole = String::new();
        for seed in seeds("net_header").expect("a corpus") {
            let mut text = String::new();
            explain(&mut text, &seed.bytes);
            assert!(!text.contains("panics"), "{}: {text}", seed.name);
            let refused = format!(": {}", seed.entry.expect);
            let end = if seed.entry.expect == "accept" { "" } else { &refused };
            assert!(text.contains(end), "{}: {text}", seed.name);
            whole += &text;
        }
        for words in ["csum_start", "resource_type", "header, cut", "for the driver", "1 writable"]
        {
            assert!(whole.contains(words), "{words}");
        }
    }
}
