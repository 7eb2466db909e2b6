//! The hash of a frame (§3.6, DC-147).

/// A big-endian number of two bytes.
fn pair(bytes: &[u8], at: usize) -> Option<u16> {
    Some(256 * u16::from(*bytes.get(at)?) + u16::from(*bytes.get(at + 1)?))
}

/// Addresses, home addresses, protocol and where its header is.
struct Packet {
    version: u8,
    source: Vec<u8>,
    destination: Vec<u8>,
    home: Option<Vec<u8>>,
    route: Option<Vec<u8>>,
    extended: bool,
    protocol: Option<u8>,
    at: usize,
}

/// Looks behind at most eight tags, and takes the IP header apart.
fn packet(frame: &[u8]) -> Option<Packet> {
    let mut at = 12;
    let mut tags = 0;
    while [0x8100, 0x88a8].contains(&pair(frame, at)?) {
        tags += 1;
        at += 4;
        if tags > 8 {
            return None;
        }
    }
    match pair(frame, at)? {
        0x0800 => four(frame, at + 2),
        0x86dd => six(frame, at + 2),
        _ => None,
    }
}

fn four(frame: &[u8], at: usize) -> Option<Packet> {
    let header = frame.get(at..at + 20)?;
    let len = usize::from(header[0] % 16) * 4;
    if header[0] / 16 != 4 || len < 20 || at + len > frame.len() {
        return None;
    }
    let fragment = pair(header, 6)? % 0x4000 != 0;
    Some(Packet {
        version: 4,
        source: header[12..16].to_vec(),
        destination: header[16..20].to_vec(),
        home: None,
        route: None,
        extended: false,
        protocol: if fragment { None } else { Some(header[9]) },
        at: at + len,
    })
}

fn six(frame: &[u8], start: usize) -> Option<Packet> {
    let header = frame.get(start..start + 40)?;
    if header[0] / 16 != 6 {
        return None;
    }
    let mut packet = Packet {
        version: 6,
        source: header[8..24].to_vec(),
        destination: header[24..40].to_vec(),
        home: None,
        route: None,
        extended: false,
        protocol: None,
        at: start + 40,
    };
    let mut next = header[6];
    let mut followed = 0;
    while [0, 43, 44, 51, 60].contains(&next) {
        packet.extended = true;
        let rest = &frame[packet.at..];
        if rest.len() < 2 || next == 44 || followed == 8 {
            return Some(packet);
        }
        let units = usize::from(rest[1]);
        let len = if next == 51 { 4 * units + 8 } else { 8 * units + 8 };
        if len > rest.len() {
            return Some(packet);
        }
        if next == 60 && packet.home.is_none() {
            packet.home = home(&rest[2..len]);
        }
        if next == 43 && packet.route.is_none() && rest[1] == 2 && rest[2] == 2 {
            packet.route = Some(rest[8..24].to_vec());
        }
        next = rest[0];
        packet.at += len;
        followed += 1;
    }
    packet.protocol = Some(next);
    Some(packet)
}

/// The value of the first option 201 that has 16 bytes.
fn home(options: &[u8]) -> Option<Vec<u8>> {
    let mut at = 0;
    while at < options.len() {
        if options[at] == 0 {
            at += 1;
            continue;
        }
        let len = usize::from(*options.get(at + 1)?);
        let value = options.get(at + 2..at + 2 + len)?;
        if options[at] == 201 && len == 16 {
            return Some(value.to_vec());
        }
        at += 2 + len;
    }
    None
}

/// Hash and report of a frame for these kinds.
pub(super) fn hash(frame: &[u8], types: u32, key: &[u8]) -> Option<(u32, u16)> {
    let packet = packet(frame)?;
    let header = match packet.protocol {
        Some(6) => frame.get(packet.at..packet.at + 20).map(|header| (1, header)),
        Some(17) => frame.get(packet.at..packet.at + 8).map(|header| (2, header)),
        _ => None,
    };
    let wants = |bit: u32| types / (1 << bit) % 2 == 1;
    // Home addresses first, then plain ones; with ports first, then without.
    let rows: &[(u32, bool)] = match (packet.version, packet.extended) {
        (4, _) => &[(0, false)],
        (_, true) => &[(6, true), (3, false)],
        _ => &[(3, false)],
    };
    for (first, at_home) in rows {
        let mut input = packet.source.clone();
        let mut destination = packet.destination.clone();
        if *at_home {
            input = packet.home.clone().unwrap_or(input);
            destination = packet.route.clone().unwrap_or(destination);
        }
        input.extend(destination);
        if let Some((step, header)) = header
            && wants(first + step)
        {
            input.extend(&header[..4]);
            return Some((toeplitz(key, &input), report(first + step)));
        }
        if wants(*first) {
            return Some((toeplitz(key, &input), report(*first)));
        }
    }
    None
}

fn report(bit: u32) -> u16 {
    u16::try_from(bit + 1).unwrap_or(0)
}

/// Bit by bit. A key that is too short goes on with zeroes.
fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
    let bit = |bytes: &[u8], at: usize| {
        bytes.get(at / 8).is_some_and(|byte| byte / (1 << (7 - at % 8)) % 2 == 1)
    };
    let mut hash = 0;
    for at in 0..8 * input.len() {
        if bit(input, at) {
            let mut word = 0_u32;
            for offset in 0..32 {
                word = word * 2 + u32::from(bit(key, at + offset));
            }
            hash ^= word;
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_that_everybody_compares_with() {
        let key = [
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
            0x8f, 0xb0,
        ];
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
        frame.extend([66, 9, 149, 187, 161, 142, 100, 80]);
        frame.extend([2794_u16.to_be_bytes(), 1766_u16.to_be_bytes()].concat());
        frame.extend([0; 16]);
        assert_eq!(hash(&frame, 0b111, &key), Some((0x51cc_c178, 2)));
        assert_eq!(hash(&frame, 0b101, &key), Some((0x323e_8fc2, 1)));
        assert_eq!(hash(&frame, 0b110, &key[..0]), Some((0, 2)));
        frame.pop();
        assert_eq!(hash(&frame, 0b011, &key), Some((0x323e_8fc2, 1)), "the header is cut");
        assert_eq!(hash(&frame, 0b010, &key), None);
    }
}
