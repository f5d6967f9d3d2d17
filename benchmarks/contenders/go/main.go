// Command contender serves the part of Hitchpost's contract that the benchmark calls, with grpc-go and pgx.
// What it has no code for - owner scopes, request ids, filters other than external_ids - it refuses.
//
// Run it with BENCH_DATABASE_URL set.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"

	hitchpostv1 "example.com/hitchpost/contender/gen/hitchpost/v1"
)

const (
	connections = 8
	grace       = 5 * time.Second
)

func main() {
	port := flag.Int("port", 0, "port to listen on")
	processes := flag.Int("processes", runtime.NumCPU(), "GOMAXPROCS")
	flag.Parse()
	runtime.GOMAXPROCS(*processes)
	if err := run(*port); err != nil {
		log.Fatal(err)
	}
}

// run serves until SIGTERM or SIGINT.
func run(port int) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	pool, err := connect(ctx, os.Getenv("BENCH_DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(maskErrors, newKeyRing(pool).authenticate))
	hitchpostv1.RegisterSocialAccountServiceServer(server, &accountService{pool: pool})
	hitchpostv1.RegisterSocialPostServiceServer(server, &postService{pool: pool})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		force := time.AfterFunc(grace, server.Stop)
		defer force.Stop()
		server.GracefulStop()
	}()
	log.Printf("listening on %s", listener.Addr())
	if err := server.Serve(listener); err != nil {
		return err
	}
	<-stopped
	return nil
}

func connect(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}
