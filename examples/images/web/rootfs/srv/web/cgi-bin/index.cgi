#!/bin/sh
# What this pod was given: environment and files, the files read anew for each request.
file() { cat "$1" 2>/dev/null || echo '(none)'; }

cache=/var/cache/web
[ -w $cache ] && echo . >>$cache/requests

echo 'Content-Type: text/plain'
echo
echo "pod: $(hostname)"
echo "greeting (environment): ${GREETING:-(none)}"
echo "greeting (file): $(file /etc/web/config/greeting)"
echo "token (environment): ${TOKEN:-(none)}"
echo "token (file): $(file /etc/web/secret/token)"
[ -r $cache/requests ] && echo "requests: $(wc -l <$cache/requests)"
exit 0
