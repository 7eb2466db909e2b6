//! What a server says, byte by byte (§6.4, §6.5).

use super::{Config, Message, Reply};

/// The bytes of a reply.
pub(crate) fn bytes(config: &Config, message: &Message, reply: &Reply) -> Vec<u8> {
    let is_nak = reply.kind == 6;
    let mut flags = message.flags;
    if is_nak && message.giaddr != [0; 4] && flags < 0x8000 {
        flags += 0x8000;
    }
    let siaddr = if is_nak { [0; 4] } else { config.next_server };
    let mut bytes = vec![2, 1, 6, 0];
    bytes.extend(&message.xid);
    bytes.extend([0, 0]);
    bytes.extend(flags.to_be_bytes());
    bytes.extend(reply.ciaddr);
    bytes.extend(reply.yiaddr);
    bytes.extend(siaddr);
    bytes.extend(message.giaddr);
    bytes.extend(&message.chaddr);
    bytes.extend([0; 64 + 128]);
    bytes.extend([0x63, 0x82, 0x53, 0x63]);
    let mut options = Vec::new();
    options.push((53, vec![reply.kind]));
    options.push((54, config.server.to_vec()));
    if reply.has_lease {
        options.push((51, config.lease.to_be_bytes().to_vec()));
    }
    if reply.is_rapid {
        options.push((80, vec![]));
    }
    if is_nak {
        options.push((56, reply.text.as_bytes().to_vec()));
    }
    if let Some(id) = message.option(61) {
        options.push((61, id.to_vec()));
    }
    for (code, value) in options {
        bytes.extend(encoded(code, &value));
    }
    // UDP payload without the byte of End.
    let room = limit(config, message) - 28 - 1;
    if !is_nak {
        let left = room - bytes.len();
        bytes.extend(parameters(config, message, reply.has_lease, left));
    }
    if let Some(relay) = message.option(82) {
        let option = encoded(82, relay);
        if bytes.len() + option.len() <= room {
            bytes.extend(option);
        }
    }
    bytes.push(255);
    while bytes.len() < 300 {
        bytes.push(0);
    }
    bytes
}

/// Bytes of the longest IP datagram.
fn limit(config: &Config, message: &Message) -> usize {
    let wanted = match message.option(57) {
        Some([high, low]) => 256 * usize::from(*high) + usize::from(*low),
        _ => 576,
    };
    wanted.max(576).min(config.mtu)
}

/// An option, or several when the value is long.
fn encoded(code: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value;
    loop {
        let (piece, behind) = rest.split_at(rest.len().min(255));
        bytes.push(code);
        bytes.extend(u8::try_from(piece.len()));
        bytes.extend(piece);
        rest = behind;
        if rest.is_empty() {
            return bytes;
        }
    }
}

/// What a client gets that asked like this (DC-117).
#[must_use]
pub fn parameters(config: &Config, message: &Message, has_lease: bool, left: usize) -> Vec<u8> {
    let mut values: Vec<_> =
        config.values.iter().map(|(code, value)| (*code, encoded(*code, value))).collect();
    if has_lease && config.lease != 0xffff_ffff {
        let lease = u64::from(config.lease);
        let timer = |seconds: u64| u32::try_from(seconds).unwrap_or(0).to_be_bytes();
        let at = values.iter().position(|(code, _)| *code > 59 && *code < 80);
        let at = at.unwrap_or(values.len());
        values.insert(at, (58, encoded(58, &timer(lease / 2))));
        values.insert(at + 1, (59, encoded(59, &timer(lease * 7 / 8))));
    }
    let value = |code: u8| values.iter().find(|(other, _)| *other == code).map(|(_, value)| value);
    let mut left = left;
    let mut kept = Vec::new();
    for code in [1, 3, 121, 26] {
        let is_needed = code != 26 || config.mtu != 1500;
        if let Some(value) = value(code)
            && is_needed
            && value.len() <= left
        {
            left -= value.len();
            kept.push(code);
        }
    }
    // What to try, one after another. The mask comes before the router.
    let mut wanted = Vec::new();
    let asked: Vec<u8> = match message.option(55) {
        Some(codes) => codes.to_vec(),
        None => values.iter().map(|(code, _)| *code).collect(),
    };
    let needed: &[u8] = if config.mtu == 1500 { &[1, 3, 121] } else { &[1, 3, 121, 26] };
    for &code in asked.iter().chain(needed) {
        let both: &[u8] = if code == 3 { &[1, 3] } else { &[code] };
        for &code in both {
            if !wanted.contains(&code) {
                wanted.push(code);
            }
        }
    }
    let mut bytes = Vec::new();
    for code in wanted {
        // The old code of the routes is a copy for those who ask for it.
        let source = if code == 249 && message.option(55).is_some() { 121 } else { code };
        let Some(value) = value(source) else { continue };
        let mut value = value.clone();
        if code == 249 {
            let plain = config.values.iter().find(|(other, _)| *other == 121);
            value = plain.map_or(Vec::new(), |(_, value)| encoded(249, value));
        }
        if kept.contains(&code) {
            bytes.extend(value);
        } else if value.len() <= left {
            left -= value.len();
            bytes.extend(value);
        }
    }
    bytes
}
