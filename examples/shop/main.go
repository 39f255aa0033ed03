// Command shop is an example: it stands between a shop and a Licet server. The
// shop tells it of each payment by a webhook in the manner of Stripe; it makes an
// order of it, whose ticket goes to the buyer by e-mail.
//
//	SHOP_SECRET=whsec_… LICET_URL=http://127.0.0.1:8080 LICET_TOKEN=… \
//	SHOP_SMTP=smtp://user:password@mail.example.com:587 SHOP_FROM=shop@example.com \
//	go run ./examples/shop
//
// The token needs the scope orders, and read where subscriptions are sold. What is
// bought stands in the session's metadata, under "licet_items": CAD-PRO=2
// CAD-NET=1,seats=25. A session that begins a subscription has "licet_subscription",
// such as CAD-PRO=5, and "licet_period", such as monthly: the shop leads, each invoice
// that is paid renews it, and its end in the shop cancels it.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"licet/client"
)

func main() {
	s := &shop{
		secret:  must("SHOP_SECRET"),
		central: client.NewCentral(must("LICET_URL"), must("LICET_TOKEN"), client.Options{Program: "shop example"}),
		page:    must("LICET_URL"),
		now:     time.Now,
	}
	var err error
	if s.mail, err = mailer(must("SHOP_SMTP"), must("SHOP_FROM")); err != nil {
		log.Fatal(err)
	}
	listen := os.Getenv("SHOP_LISTEN")
	if listen == "" {
		listen = "127.0.0.1:8090"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := &http.Server{Addr: listen, Handler: s, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) }) // ListenAndServe returns then
	log.Printf("waiting for the shop at http://%s/", listen)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

// must is a variable that has to be set.
func must(name string) string {
	value := os.Getenv(name)
	if value == "" {
		log.Fatalf("%s is not set", name)
	}
	return value
}
