// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/scopeauth/scopeauth/interceptors/clientauth"
)

// secretOf reads a client secret from AWS Secrets Manager, by its staging label.
func secretOf(client *secretsmanager.Client, id, stage string) clientauth.SecretFunc {
	return func(ctx context.Context) (clientauth.Secret, error) {
		out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(id), VersionStage: aws.String(stage)})
		if err != nil {
			return clientauth.Secret{}, err
		}
		return clientauth.NewSecret(aws.ToString(out.SecretString)), nil
	}
}

// A secret of AWS Secrets Manager. During a rotation the new one has the label
// AWSPENDING until it is tested and becomes AWSCURRENT.
func Example_secretsManager() {
	store := newSecretStore(map[string]string{"AWSCURRENT": "the-secret"})
	server := httptest.NewServer(store)
	defer server.Close()
	client := store.client(server.URL, server.Client())

	tokens, err := clientauth.NewClientCredentials(clientauth.Config{
		TokenURL:   clientauth.TokenURL("files", "eu-west-1"),
		ClientID:   "1example23456789",
		Secret:     secretOf(client, secretName, "AWSCURRENT"),
		NextSecret: secretOf(client, secretName, "AWSPENDING"),
	}, clientauth.WithTransport(newSecretEndpoint("the-secret")))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = tokens.Close() }()
	fmt.Println(tokens.Warm(context.Background()))

	// Output:
	// <nil>
}
