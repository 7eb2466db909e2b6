//! Recorded sessions as inputs of `diff_vhost`: what the front-end said, and nothing else.

use anyhow::Result;
use vhost_fuzz_harness::corpus::{Entry, Seed};
use vhost_fuzz_harness::peer::offer;
use vhost_fuzz_harness::script::{self, Record};
use vhost_fuzz_harness::target::diff_vhost::{End, Request, requests};

use super::judge::{code, judge};
use super::summary;

const SET_FEATURES: u32 = 2;
const SET_PROTOCOL_FEATURES: u32 = 16;

/// The front-end's side of recorded sessions, with their names and origins.
///
/// # Errors
/// When the target has no model.
pub(super) fn seeds(recorded: &[Seed]) -> Result<Vec<Seed>> {
    let seed_of = |recorded: &Seed| {
        let requests: Vec<_> = requests(&recorded.bytes).collect();
        let bytes = encode(&requests);
        let whole = requests.iter().filter(|request| request.end == End::Whole).count();
        let entry = Entry {
            shows: format!(
                "what a recorded front-end said, as if this was offered to it: {}",
                summary::count(whole, "request")
            ),
            expect: judge("diff_vhost", &bytes)?.verdict,
            origin: recorded.entry.origin.clone(),
        };
        Ok(Seed { name: recorded.name.clone(), entry, bytes })
    };
    recorded.iter().map(seed_of).collect()
}

fn encode(requests: &[Request]) -> Vec<u8> {
    let mut records = Vec::new();
    for Request { bytes, fds, end } in requests {
        records.extend(fds.iter().map(|&(kind, size)| Record::Fd { kind, seals: 0, size }));
        if !bytes.is_empty() {
            let kind = vhost_fuzz_core::vhost_user::Kind::FRONTEND_REQUEST;
            records.push(Record::Message { kind, bytes: offered(bytes).into() });
        }
        if *end != End::Whole {
            records.push(Record::Reconnect);
        }
    }
    // A connection ends with the script.
    while records.last() == Some(&Record::Reconnect) {
        records.pop();
    }
    script::encode(&records)
}

/// A message in which a front-end accepts features, without those that are not offered here.
fn offered(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let offered = match code(&bytes) {
        Some(SET_FEATURES) => offer::FEATURES,
        Some(SET_PROTOCOL_FEATURES) => offer::PROTOCOL_FEATURES,
        _ => return bytes,
    };
    if let Some(bits) = bytes.get_mut(12..).and_then(<[u8]>::first_chunk_mut) {
        *bits = (u64::from_ne_bytes(*bits) & offered).to_ne_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_core::vhost_user::Kind;

    #[test]
    fn only_the_front_end_is_kept_and_it_accepts_what_is_offered() {
        let message = |code: u32, payload: u64| {
            let header = [code, 1, 8].into_iter().flat_map(u32::to_ne_bytes);
            header.chain(payload.to_ne_bytes()).collect::<Vec<u8>>()
        };
        let record = |kind, bytes: Vec<u8>| Record::Message { kind, bytes: bytes.into() };
        let request = |bytes| record(Kind::FRONTEND_REQUEST, bytes);
        let recorded = script::encode(&[
            request(message(2, u64::MAX)),
            record(Kind::BACKEND_REPLY, message(2, 0)),
            Record::Border,
            request(message(8, u64::MAX)),
            Record::Close,
        ]);
        let entry =
            Entry { shows: String::new(), expect: String::new(), origin: "trace a".to_owned() };
        let recorded = Seed { name: "a".to_owned(), entry, bytes: recorded };
        let [seed] = &seeds(&[recorded]).expect("a model")[..] else { panic!("one seed") };
        assert_eq!((seed.name.as_str(), seed.entry.origin.as_str()), ("a", "trace a"));
        assert!(seed.entry.shows.ends_with("2 requests"), "{}", seed.entry.shows);
        let kept = [request(message(2, offer::FEATURES)), request(message(8, u64::MAX))];
        assert_eq!(script::decode(&seed.bytes), kept);
    }
}
