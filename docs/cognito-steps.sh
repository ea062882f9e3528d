#!/bin/sh
# From nothing to an access token of a machine-to-machine client, with the AWS CLI and
# curl. The numbers are those of the sections of "Controlling access in service-to-service
# communications with Cognito - Part 1".
#
# On the embedded Cognito (go run ./examples/cognito), as if it were AWS:
#   AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER=http://127.0.0.1:9229 sh docs/cognito-steps.sh
# On Amazon Cognito, with your credentials and region:
#   AWS_REGION=eu-central-1 sh docs/cognito-steps.sh
set -eu

DOMAIN=${DOMAIN:-s2s-test-$(date +%s)} # of all AWS accounts in the region nobody else may have it
export AWS_DEFAULT_REGION="${AWS_REGION:-${AWS_DEFAULT_REGION:-us-east-1}}" AWS_PAGER=''

ENDPOINT=${AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER:-}
if [ -n "$ENDPOINT" ]; then # the emulator: any signature is right, and the domain is a path
  ENDPOINT=${ENDPOINT%/}
  DOMAIN_URL=$ENDPOINT/$DOMAIN
  export AWS_ACCESS_KEY_ID="${AWS_ACCESS_KEY_ID:-any}" AWS_SECRET_ACCESS_KEY="${AWS_SECRET_ACCESS_KEY:-any}"
  export NO_PROXY='*' no_proxy='*' # this machine's proxy does not know it, and must not see the secret
else
  DOMAIN_URL=https://$DOMAIN.auth.$AWS_DEFAULT_REGION.amazoncognito.com
fi

# Old versions of the AWS CLI do not read the endpoint from the environment.
cognito() { aws cognito-idp ${ENDPOINT:+--endpoint-url "$ENDPOINT"} --output text "$@"; }

# 3.1 A user pool. No users are needed.
POOL=$(cognito create-user-pool --pool-name s2s-test --query UserPool.Id)
echo "3.1 user pool       $POOL"

# 3.2 An app client with a secret: what the calling service shows to Cognito.
CLIENT=$(cognito create-user-pool-client --user-pool-id "$POOL" --client-name sts-test-app-client \
  --generate-secret --query UserPoolClient.ClientId)
SECRET=$(cognito describe-user-pool-client --user-pool-id "$POOL" --client-id "$CLIENT" \
  --query UserPoolClient.ClientSecret)
echo "3.2 app client      $CLIENT"

# 3.3 A domain: tokens come from there.
cognito create-user-pool-domain --user-pool-id "$POOL" --domain "$DOMAIN" >/dev/null
TRY=0
STATUS=
while [ "$STATUS" != ACTIVE ]; do # Amazon's takes some seconds
  if [ "$TRY" -ge 60 ]; then
    echo "no token endpoint: domain $DOMAIN is $STATUS after five minutes" >&2
    exit 1
  fi
  [ "$TRY" -eq 0 ] || sleep 5
  STATUS=$(cognito describe-user-pool-domain --domain "$DOMAIN" --query DomainDescription.Status)
  TRY=$((TRY + 1))
done
echo "3.3 token endpoint  $DOMAIN_URL/oauth2/token"

# 3.4 A resource server, which is an API, with two scopes: demo/read.file and demo/write.file.
cognito create-resource-server --user-pool-id "$POOL" --identifier demo --name 'Test API' --scopes \
  'ScopeName=read.file,ScopeDescription=Read files' 'ScopeName=write.file,ScopeDescription=Write files' >/dev/null
echo "3.4 scopes          demo/read.file demo/write.file"

# 3.5 The client may get tokens for itself, with these scopes. An update sets to its
# default what it does not name, so it names all that is not to change.
cognito update-user-pool-client --user-pool-id "$POOL" --client-id "$CLIENT" --client-name sts-test-app-client \
  --allowed-o-auth-flows-user-pool-client --allowed-o-auth-flows client_credentials \
  --allowed-o-auth-scopes demo/read.file demo/write.file >/dev/null
echo "3.5 allowed flow    client_credentials"

# 4.1 to 4.3 POST to the token endpoint: id and secret, Base64, in the Authorization
# header; the grant type and the wanted scopes in the body. curl reads the header from its
# standard input, as everybody on the machine can see its arguments.
BASIC=$(printf %s "$CLIENT:$SECRET" | base64 | tr -d '\n')
ANSWER=$(printf 'Authorization: Basic %s\n' "$BASIC" |
  curl --silent --show-error --header @- --header 'Content-Type: application/x-www-form-urlencoded' \
    --data grant_type=client_credentials --data-urlencode 'scope=demo/read.file demo/write.file' "$DOMAIN_URL/oauth2/token")

# 4.4 The answer has access_token, expires_in and token_type.
member() { printf %s "$ANSWER" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
TOKEN=$(member access_token)
if [ -z "$TOKEN" ]; then
  echo "no token: $ANSWER" >&2
  exit 1
fi
echo "4.4 answer          token_type $(member token_type), expires_in $(member expires_in)"

# The token decoded: Base64url without padding, one member a line.
decode() {
  part=$(printf %s "$TOKEN" | cut -d. -f"$1" | tr -- '-_' '+/')
  while [ $((${#part} % 4)) -ne 0 ]; do part=$part=; done
  printf %s "$part" | base64 -d | sed 's/,"/,\
 "/g'
  echo
}
decode 1
decode 2
