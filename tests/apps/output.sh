#!/usr/bin/env bash
# Where programs write: standard output that is full or closed, and --output onto links, FIFOs and devices.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/output.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model
go_on
head -n 2 "$source/data/arithmetic/train.jsonl" > two.jsonl
generate() { "$bin/temper-generate" --model sft/final --dtype f32 --threads 1 --max-new-tokens 3 --temperature 0 "$@"; }
evaluate() { "$bin/temper-eval" --model sft/final --dtype f32 --threads 1 --max-new-tokens 3 --data two.jsonl --reward exact --quiet "$@"; }

# ------------------------------------------------------------------------------------------------ standard output
# Nodes of our own: those of /dev are the machine's.
if mknod full c 1 7 2> /dev/null && mknod null c 1 3 && mknod disk b 7 250; then
  lost() {  # COMMAND...: its output cannot be written
    "$@" > full 2> err
    local code=$?
    [ $code = 2 ] || fail "$* > full: exit code $code, expected 2"
    [ "$(grep -c 'standard output: cannot write' err)" = 1 ] || fail "$* > full: $(cat err)"
    "$@" >&- 2> err
    code=$?
    [ $code = 2 ] && grep -q 'standard output: cannot write' err || fail "$* >&-: exit code $code: $(cat err)"
  }
  lost "$bin/temper-inspect" list reward
  lost "$bin/temper-inspect" config sft.json
  lost "$bin/temper-inspect" run sft
  lost "$bin/temper-train" sft.json --plan
  for program in train generate eval convert inspect; do lost "$bin/temper-$program" --help; done
  lost generate --prompt "1 + 1"
  lost generate --input two.jsonl
  lost evaluate --output samples.jsonl
  [ "$(wc -l < samples.jsonl)" = 2 ] || fail "the samples are lost with the standard output"

  # ----------------------------------------------------------------------------------------------------- --output
  for target in null disk sft socket-less/x; do
    generate --prompt "1 + 1" --output $target > out 2> err
    code=$?
    expected=2
    [ $target = null ] && expected=0
    [ $code = $expected ] || fail "--output $target: exit code $code, expected $expected: $(cat err)"
    [ $expected = 2 ] && [ "$(wc -l < err)" != 1 ] && fail "--output $target: $(cat err)"
  done
  generate --prompt "1 + 1" --output full > out 2> err
  [ $? = 2 ] && grep -q 'full: cannot write: No space left' err || fail "--output full: $(cat err)"
  [ -c null ] && [ -c full ] && [ -b disk ] || fail "a device was replaced"
  ln -s null link
  generate --prompt "1 + 1" --output link && [ -L link ] && [ -c null ] || fail "--output of a link to a device"
  for command in "$bin/temper-inspect schedule sft.json --output null" "evaluate --output null" "generate --input two.jsonl --teacher-cache null" \
                 "generate --input two.jsonl --score exact --output null"; do
    $command > out 2> err || fail "$command: $(cat err)"
    [ -c null ] || { fail "$command: replaced the device"; rm -f null; mknod null c 1 3; }
  done
fi

mkfifo fifo
cat fifo > got &
generate --prompt "1 + 1" --output fifo || fail "--output of a FIFO"
wait
[ -p fifo ] && grep -q completions got || fail "--output of a FIFO: it got $(cat got)"
mkdir elsewhere && echo old > elsewhere/file && ln -s elsewhere/file followed && ln -s elsewhere/new dangling
for name in followed dangling; do
  generate --prompt "1 + 1" --output $name || fail "--output of a link"
  [ -L $name ] && grep -q completions $name || fail "--output of a link: $(ls -l $name)"
done
[ "$(ls elsewhere | tr '\n' ' ')" = "file new " ] || fail "debris beside the target of a link: $(ls elsewhere)"
generate --prompt "1 + 1" --output /dev/stdout > piped && grep -q completions piped || fail "--output /dev/stdout"
generate --prompt "1 + 1" --output /dev/stdout | grep -q completions || fail "--output /dev/stdout in a pipe"
ln -s nowhere/x lost
generate --prompt "1 + 1" --output lost 2> err && fail "--output of a link into no folder"
grep -q 'no such folder' err || fail "--output of a link into no folder: $(cat err)"
find . -name '*.tmp' | grep -q . && fail "temporary files are left: $(find . -name '*.tmp')"
[ $failed = 0 ] && echo "output: all as it should be"
exit $failed
