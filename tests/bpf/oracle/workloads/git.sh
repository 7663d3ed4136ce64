#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A repository of a few hundred commits: log, diff, blame, repack, fsck.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
git init -q repository && cd repository || exit 1
commits() {
  local i
  for i in $(seq 1 300); do
    printf 'commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata <<M\nchange %d\nM\n' $((1600000000 + i * 60)) "$i"
    printf 'M 100644 inline folder%d/file%d.c\ndata <<M\n' $((i % 7)) $((i % 40))
    seq "$i" $((i + 300))
    printf 'M\nM 100644 inline readme\ndata <<M\n'
    seq 1 "$i"
    printf 'M\n'
  done
}
commits | git fast-import --quiet
git checkout -q main
while :; do
  git log -p --stat main
  git blame readme
  git repack -adfq --depth=20 --window=20
  git fsck --full
  git grep -n 12 main~10
  git log --all --graph --oneline --name-status -M
  git gc --quiet --aggressive
done
