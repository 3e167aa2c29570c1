#!/bin/sh
# Makes a certificate authority and one certificate for all machines of a cluster, and prints the settings that make
# Dask use them and refuse everything else:
#
#     eval "$(docs/cluster/tls.sh ~/.trainloop-tls)"
#
# Copy the folder to every machine, keep it readable for you alone, and set the same variables there.
set -eu
mkdir -p "$1"
chmod 700 "$1"
cd "$1"
umask 077
if [ ! -f cert.pem ]; then
    openssl req -x509 -newkey rsa:3072 -nodes -days 365 -subj /CN=trainloop-ca -keyout ca-key.pem -out ca.pem 2> /dev/null
    openssl req -newkey rsa:3072 -nodes -subj /CN=trainloop -keyout key.pem -out request.pem 2> /dev/null
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 365 -out cert.pem 2> /dev/null
    rm request.pem
fi
echo "export DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=True"
echo "export DASK_DISTRIBUTED__COMM__TLS__CA_FILE=$PWD/ca.pem"
for who in SCHEDULER WORKER CLIENT; do
    echo "export DASK_DISTRIBUTED__COMM__TLS__${who}__CERT=$PWD/cert.pem"
    echo "export DASK_DISTRIBUTED__COMM__TLS__${who}__KEY=$PWD/key.pem"
done
