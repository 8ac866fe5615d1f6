//! Sealing and opening, by size: a small identity, an ordinary one, a large one, tokens.
//!
//! The peer in the same run is ring's AES-256-GCM over the same bytes, without base64 and without
//! a key ring: what a different choice of library could win at most.
#![expect(clippy::expect_used, reason = "a bench that cannot begin has nothing to measure")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::hint::black_box;
use vestibule::clock::Timestamp;
use vestibule::random::SystemRandom;
use vestibule::seal::{KeyMaterial, KeyRing, Purpose};
use zeroize::Zeroizing;

fn seal(criterion: &mut Criterion) {
    let random = SystemRandom::new();
    let now = Timestamp::from_unix(1_795_000_000);
    let keys: Vec<_> = (1..=3)
        .map(|byte| KeyMaterial { id: byte.to_string(), secret: Zeroizing::new([byte; 32]), until: None })
        .collect();
    let ring = KeyRing::new(&keys).expect("three keys");
    let former = KeyRing::new(keys.get(2..).expect("three keys")).expect("one key");
    let peer = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("32 bytes"));

    let mut group = criterion.benchmark_group("seal");
    for size in [128, 400, 1500, 4096] {
        let plaintext = vec![b'x'; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::new("seal", size), &plaintext, |bencher, plaintext| {
            bencher.iter(|| ring.seal(Purpose::Session, black_box(plaintext), b"cookie", &random).expect("sealed"));
        });
        let sealed = ring.seal(Purpose::Session, &plaintext, b"cookie", &random).expect("sealed");
        group.bench_with_input(BenchmarkId::new("open", size), &sealed, |bencher, sealed| {
            bencher.iter(|| ring.open(Purpose::Session, black_box(sealed.as_bytes()), b"cookie", now).expect("opens"));
        });
        let sealed = former.seal(Purpose::Session, &plaintext, b"cookie", &random).expect("sealed");
        group.bench_with_input(BenchmarkId::new("open under the third key", size), &sealed, |bencher, sealed| {
            bencher.iter(|| ring.open(Purpose::Session, black_box(sealed.as_bytes()), b"cookie", now).expect("opens"));
        });
        let mut raw = plaintext.clone();
        peer.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(b"cookie"), &mut raw)
            .expect("sealed");
        group.bench_with_input(BenchmarkId::new("peer: ring opens", size), &raw, |bencher, raw| {
            bencher.iter(|| {
                let mut bytes = raw.clone();
                let nonce = Nonce::assume_unique_for_key([0; 12]);
                peer.open_in_place(nonce, Aad::from(b"cookie"), black_box(&mut bytes)).expect("opens").len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, seal);
criterion_main!(benches);
