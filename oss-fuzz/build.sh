#!/bin/bash
# Builds every fuzz target for OSS-Fuzz and puts into $OUT, for each of them:
#
#   <target>                  the binary
#   <target>_seed_corpus.zip  the committed seeds
#   <target>.dict             the dictionary
#   <target>.options          libFuzzer's options
#
# The targets are the `[[bin]]`s of fuzz/Cargo.toml; none is named here, but for the one
# that is only a floor for throughput figures. `oss-fuzz/check` runs this script as
# OSS-Fuzz does and judges what it built.
set -euo pipefail

readonly floor=empty

die() {
  printf 'build.sh: %s\n' "$1" >&2
  exit 1
}

for name in SRC OUT WORK SANITIZER FUZZING_ENGINE ARCHITECTURE; do
  [[ -n ${!name:-} ]] || die "$name: not set; expected the variables that OSS-Fuzz gives"
done

[[ $FUZZING_ENGINE == libfuzzer ]] ||
  die "FUZZING_ENGINE=$FUZZING_ENGINE: expected libfuzzer"

case $SANITIZER in
  address) instrument=address ;;
  # Instrumented by the RUSTFLAGS that OSS-Fuzz sets, not by a sanitizer.
  coverage | introspector) instrument=none ;;
  *) die "SANITIZER=$SANITIZER: expected address, coverage or introspector" ;;
esac

case $ARCHITECTURE in
  x86_64 | aarch64) triple=$ARCHITECTURE-unknown-linux-gnu ;;
  *) die "ARCHITECTURE=$ARCHITECTURE: expected x86_64 or aarch64" ;;
esac

# zip_seeds DIRECTORY ARCHIVE: archives the seeds somebody chose and named. What libFuzzer
# adds to a corpus is named by 40 hex digits, and what git needs begins with a dot.
zip_seeds() {
  local directory=$1 archive=$2 seeds
  seeds=$(
    find "$directory" -maxdepth 1 -type f -printf '%f\n' |
      { grep -vxE '[0-9a-f]{40}|\..*' || true; } | LC_ALL=C sort
  )
  [[ -n $seeds ]] || die "$directory: no seed; every target needs at least one"
  rm -f "$archive"
  if command -v zip >/dev/null; then
    (cd "$directory" && zip -q -X -@ "$archive") <<<"$seeds"
  else
    (cd "$directory" && python3 -c '
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:
    for line in sys.stdin:
        archive.write(line.rstrip("\n"))
' "$archive") <<<"$seeds"
  fi
}

cd "$SRC/vhost-fuzz"

# Set by variable, not by option: the image's wrapper around cargo, which makes the
# coverage build, asks cargo where the target directory is.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$WORK/target}
targets=$(cargo fuzz list | grep -vx "$floor") || die "cargo fuzz list: no target"
cargo fuzz build --release --debug-assertions --sanitizer "$instrument" --target "$triple"

for target in $targets; do
  install -m 755 "$CARGO_TARGET_DIR/$triple/release/$target" "$OUT/$target"
  zip_seeds "corpus/$target" "$OUT/${target}_seed_corpus.zip"
  dictionary=fuzz/dictionaries/$target.dict
  [[ -f $dictionary ]] || die "$dictionary: not found; every target needs a dictionary"
  install -m 644 "$dictionary" "$OUT/$target.dict"
  install -m 644 oss-fuzz/default.options "$OUT/$target.options"
done
