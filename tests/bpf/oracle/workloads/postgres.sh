#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A server of its own, as an unprivileged user, under pgbench and some queries that plan and sort.
bin=/usr/lib/postgresql/15/bin
mkdir data run && chown postgres data run && chmod 700 data
run() { runuser -u postgres -- "$@"; }
run $bin/initdb -D data -U postgres --no-sync -A trust >/dev/null
run $bin/postgres -D data -c listen_addresses= -c unix_socket_directories="$PWD/run" -c fsync=off -c shared_buffers=16MB &
server=$!
trap 'kill -INT $(head -n 1 data/postmaster.pid); wait $server; exit 0' TERM
until [ -S run/.s.PGSQL.5432 ]; do sleep 0.1; done
export PGHOST=$PWD/run PGUSER=postgres
until psql -qc 'select 1' postgres; do sleep 0.1; done
pgbench -qi -s 1 postgres
cat >queries.sql <<'END'
select abalance % 10, count(*), sum(length(filler)) from pgbench_accounts a join pgbench_branches b using (bid) where aid < 2000 group by 1 order by 2;
with recursive t(n) as (select 1 union all select n + 1 from t where n < 50) select regexp_replace(string_agg(n::text, ','), '1+', 'x'), jsonb_agg(n) from t;
do $$ declare r record; begin for r in select * from pgbench_tellers order by tbalance loop perform r.tid::text || 'x'; end loop; exception when others then null; end $$;
END
while :; do
  pgbench -n -c 2 -T 2 postgres &
  wait $!
  pgbench -n -c 2 -T 2 -f queries.sql postgres &
  wait $!
done
