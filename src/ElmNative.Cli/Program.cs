Console.WriteLine("elmn");
