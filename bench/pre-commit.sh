#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Refuses a commit of results that are not in their published form, or not in their place. To use
# it as a hook: ln -s ../../bench/pre-commit.sh .git/hooks/pre-commit
# What is looked at is what would be committed, whatever lies in the working directory.
set -eu

cd "$(git rev-parse --show-toplevel)"
[ -n "$(git ls-files -- results)" ] || exit 0
stray=$(git ls-files -- results ':!results/README.md' ':!results/checks/*' ':!results/published/*')
[ -z "$stray" ] || {
	printf '%s\n' "$stray" >&2
	echo "only results/published/ and results/checks/ are committed: \`vmabench publish DIR -o results/published/NAME\`" >&2
	exit 1
}
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
git ls-files -z -- results | git checkout-index -z --stdin --prefix="$staged/"
python=${VMABENCH_PYTHON:-.venv/bin/python}
"$python" -m vmabench publish --check "$staged/results" >/dev/null
