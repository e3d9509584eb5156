#!/bin/sh
# The second tier: asks the first by the cluster IP of its Service.
echo 'Content-Type: text/plain'
echo
echo "front: $(hostname)"
if [ -z "$WEB_SERVICE_HOST" ]; then
    echo 'web: WEB_SERVICE_HOST is not set: the Service was created after this pod'
else
    # wget's own -T makes Debian's static busybox crash.
    timeout 2 wget -q -O - "http://$WEB_SERVICE_HOST:$WEB_SERVICE_PORT/" 2>&1 || echo "web: no answer from $WEB_SERVICE_HOST:$WEB_SERVICE_PORT"
fi
exit 0
