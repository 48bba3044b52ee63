#!/bin/sh
# Runs all tests with this pytest. Benchmarks run alone. Lines have real times to keep, so they run one at a time. Units and
# pages run beside the lines, two files at a time, and get only the processor time that the lines leave. Contracts run last,
# because drivers have real times to keep as well, and wait more than they compute.
pytest=$1
failed=0
alone=tests/system/test_bench.py
pages=$(ls tests/system/test_page_*.py)
idle="chrt --idle 0"
$idle true 2>/dev/null || idle="nice -n 19"
log=$(mktemp)
"$pytest" $alone || failed=1
$idle "$pytest" --numprocesses 2 --dist loadfile tests/unit tests/training $pages >"$log" 2>&1 &
others=$!
trap 'kill $others 2>/dev/null; rm -f "$log"' EXIT
trap 'exit 130' INT TERM
"$pytest" tests/system $(printf -- '--ignore=%s ' $alone $pages) || failed=1
wait $others || failed=1
cat "$log"
"$pytest" --numprocesses 2 --dist loadfile tests/contracts || failed=1
exit $failed
